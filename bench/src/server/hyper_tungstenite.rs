//! hyper-tungstenite.

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_tungstenite::{is_upgrade_request, tungstenite::protocol::WebSocketConfig, upgrade};
use tokio::net::TcpListener;

use crate::{Result, echo};

pub(crate) async fn serve(listener: TcpListener, small_buffers: bool) -> Result<()> {
    let config = small_buffers.then(|| WebSocketConfig::default().read_buffer_size(4096));
    let service = service_fn(move |mut request: Request<Incoming>| async move {
        if !is_upgrade_request(&request) || request.uri().path() != "/ws" {
            return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(crate::hyper::plain());
        }
        let (response, socket) = upgrade(&mut request, config)?;
        tokio::spawn(async move { echo::tungstenite(socket.await?).await });
        Ok(response)
    });
    crate::hyper::accept(listener, service).await
}
