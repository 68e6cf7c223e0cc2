//! The access log: one line for each request, once its response has been sent or has ended. The line has no header and no query:
//! both may contain credentials.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;
use tracing::info;

use crate::access::{Access, Credential};
use crate::net::escaped::Escaped;
use crate::net::rejections::Client;

/// Logs the request when its response's body is dropped.
pub(super) async fn log(State(access): State<Access>, request: Request, next: Next) -> Response {
    let mut record = Record {
        client: access.client(request.extensions(), request.headers()),
        credential: None,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        status: None,
        bytes: 0,
        begun: Instant::now(),
    };
    let mut response = next.run(request).await;
    record.credential = response.extensions_mut().remove::<Credential>();
    record.status = Some(response.status());
    response.map(|body| Body::new(LoggedBody { body, record }))
}

/// A request and what is known of its response. Dropping it logs it.
struct Record {
    client: Option<IpAddr>,
    credential: Option<Credential>,
    method: Method,
    path: String,
    /// Absent if the client left before the response.
    status: Option<StatusCode>,
    bytes: u64,
    begun: Instant,
}

impl Drop for Record {
    fn drop(&mut self) {
        let credential = self.credential.as_ref();
        info!(
            target: "access",
            client = %Client(self.client),
            credential = credential.map(Credential::kind),
            subject = credential.and_then(Credential::subject).map(|subject| tracing::field::display(Escaped(subject))),
            method = %Escaped(&self.method),
            path = %Escaped(&self.path),
            status = self.status.map(|status| status.as_u16()),
            bytes = self.bytes,
            seconds = self.begun.elapsed().as_secs_f64(),
            "request"
        );
    }
}

/// A response's body that counts its bytes.
struct LoggedBody {
    body: Body,
    record: Record,
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
