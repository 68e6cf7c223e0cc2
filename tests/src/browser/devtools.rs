//! Functions of Chromium's developer tools, such as showing a page as on another device (Chrome DevTools Protocol, domain
//! Emulation, by ChromeDriver's `goog/cdp/execute`).

use serde_json::{Value, json};

use super::Browser;
use crate::http;

impl Browser {
    /// Emulates a window of this width and height in CSS pixels and the colour scheme `light` or `dark`.
    ///
    /// # Panics
    /// When this is not Chromium.
    pub async fn emulate(&self, (width, height): (u32, u32), scheme: &str) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", scheme).await;
    }

    /// Runs a command of the protocol and returns its result.
    ///
    /// # Panics
    /// When this is not Chromium, or the command fails.
    pub async fn command(&self, command: &str, parameters: Value) -> Value {
        let session = self.client.session_id().await.ok().flatten().expect("the browser runs");
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let path = format!("/session/{session}/goog/cdp/execute");
        let json = [("Content-Type", "application/json")];
        let answer = http::send(self.driver(), "POST", &path, &json, body.into_bytes()).await;
        let answer = answer.unwrap_or_else(|e| panic!("{}: {command}: {e}", self.engine));
        assert_eq!(answer.status, 200, "{}: {command}: {}", self.engine, answer.text());
        let mut answer: Value = serde_json::from_slice(&answer.body).expect("JSON");
        answer["value"].take()
    }
}
