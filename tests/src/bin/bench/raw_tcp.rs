//! The raw TCP server: forwards the same bytes at the same times to the same number of receivers, one task each. It is the
//! lower bound of a server's cost. It reads the stream from the relay as a plain viewer and runs as a separate process, so that
//! its CPU time is separate from the receivers'.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Bytes;

/// The bench's argument that starts it. The next argument is the WebSocket address to read.
pub(crate) const COMMAND: &str = "floor";

/// Fragments that a slow receiver may be behind before it loses some. No receiver is, on a machine that keeps up.
const BACKLOG: usize = 64;

/// Prints its port and serves until it is killed.
pub(crate) async fn serve(source: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address").port());
    let sender = Arc::new(broadcast::Sender::<Bytes>::new(BACKLOG));
    let accept = async {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut receiver = sender.subscribe();
            tokio::spawn(async move {
                socket.set_nodelay(true).expect("TCP");
                loop {
                    match receiver.recv().await {
                        Ok(bytes) => {
                            if socket.write_all(&bytes).await.is_err() {
                                return;
                            }
                        }
                        Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return,
                    }
                }
            });
        }
    };
    let read = async {
        let (mut socket, _) = connect(source).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() {
                // Sending fails only without receivers, which is not an error.
                let _ = sender.send(message.into_data());
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = read => {}
    }
}

async fn connect(
    source: &str,
) -> (
    tokio_tungstenite::WebSocketStream<tokio::net::TcpStream>,
    tokio_tungstenite::tungstenite::handshake::client::Response,
) {
    let authority = source.trim_start_matches("ws://").split('/').next().expect("an address");
    let connection = tokio::net::TcpStream::connect(authority).await.expect("the relay listens");
    tokio_tungstenite::client_async(source, connection).await.expect("the upgrade succeeds")
}
