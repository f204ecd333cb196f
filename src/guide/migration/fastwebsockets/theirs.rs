use fastwebsockets::{
    FragmentCollector, OpCode, WebSocketError,
    upgrade::{UpgradeFut, is_upgrade_request, upgrade},
};
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) async fn serve<I>(io: I) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    http1::Builder::new()
        .serve_connection(TokioIo::new(io), service_fn(answer))
        .with_upgrades()
        .await
}

async fn answer(mut request: Request<Incoming>) -> http::Result<Response<Full<Bytes>>> {
    if request.uri().path() != "/echo" || !is_upgrade_request(&request) {
        return Ok(Response::new("plain".into()));
    }
    let Ok((response, socket)) = upgrade(&mut request) else {
        return Response::builder().status(StatusCode::BAD_REQUEST).body(Full::default());
    };
    tokio::spawn(async {
        if let Err(error) = echo(socket).await {
            println!("a connection failed: {error}");
        }
    });
    Ok(response.map(|_empty| Full::default()))
}

async fn echo(socket: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(socket.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            OpCode::Close => return Ok(()),
            _ => {}
        }
    }
}
