use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONNECTION, UPGRADE},
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

async fn answer(request: Request<Incoming>) -> http::Result<Response<Full<Bytes>>> {
    if request.headers().get(UPGRADE).is_none_or(|value| value != "echo/1") {
        return Ok(Response::new("plain".into()));
    }
    tokio::spawn(async {
        match hyper::upgrade::on(request).await {
            Ok(io) => {
                if let Err(error) = echo(TokioIo::new(io)).await {
                    println!("a connection failed: {error}");
                }
            }
            Err(error) => println!("no connection: {error}"),
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "echo/1")
        .body(Full::default())
}

async fn echo<I>(io: I) -> std::io::Result<()>
where
    I: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(io);
    tokio::io::copy(&mut reader, &mut writer).await.map(drop)
}
