//! fastwebsockets, on hyper as in its examples.

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollector, OpCode,
    upgrade::{UpgradeFut, is_upgrade_request, upgrade},
};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use tokio::net::TcpListener;

use crate::Result;

pub(crate) async fn serve(listener: TcpListener) -> Result<()> {
    crate::hyper::accept(listener, service_fn(answer)).await
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    if !is_upgrade_request(&request) || request.uri().path() != "/ws" {
        return Ok(crate::hyper::plain());
    }
    let (response, socket) = upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(echo(socket)));
    Ok(response.map(|_| Full::default()))
}

async fn echo(socket: UpgradeFut) -> Result<()> {
    let mut socket = FragmentCollector::new(socket.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
