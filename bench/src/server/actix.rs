//! actix-ws.

use std::{io, net::TcpListener};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use actix_ws::{Closed, Message, MessageStream, Session};

pub(crate) fn serve(listener: TcpListener) -> io::Result<()> {
    let app = || {
        App::new().route("/", web::get().to(async || "plain")).route("/ws", web::get().to(upgrade))
    };
    rt::System::new().block_on(HttpServer::new(app).workers(1).listen(listener)?.run())
}

async fn upgrade(request: HttpRequest, body: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, session, messages) = actix_ws::handle(&request, body)?;
    rt::spawn(echo(session, messages));
    Ok(response)
}

async fn echo(mut session: Session, mut messages: MessageStream) -> Result<(), Closed> {
    while let Some(Ok(message)) = messages.recv().await {
        match message {
            Message::Text(text) => session.text(text).await?,
            Message::Binary(bytes) => session.binary(bytes).await?,
            Message::Ping(bytes) => session.pong(&bytes).await?,
            _ => break,
        }
    }
    session.close(None).await
}
