//! TLS by upgrade (RFC 2817): a connection starts in clear and goes on inside TLS.
//!
//! **Do not serve web pages like this.** Apache's httpd could, with `SSLEngine optional`, until
//! CVE-2025-49812 ended it. An attacker between a browser and the server sends a request with
//! `Upgrade: TLS/1.2` in clear, gets the 101, and connects the browser to what follows. The browser has
//! asked for `https:` and cannot tell the difference: the handshake is that of the real server. But the
//! first response inside TLS answers the request of the attacker, the browser takes it for the answer to
//! its own, and every later response is off by one.
//!
//! This is no bug of one server. The request in clear is not part of the handshake, and RFC 2817 wants it
//! answered inside. That is why TLS is an example here and not a feature of the crate: it is for devices,
//! such as printers, whose clients know no other way. For everything else use `https:`. What this example
//! does against the attack:
//!
//! - A client that offers ALPN is rejected during the handshake. Browsers and most libraries offer it for
//!   `https:`. A client that upgrades has no use for it, since the 101 names the protocol.
//! - The request in clear loses its `Authorization` and `Cookie` headers before it is answered inside TLS,
//!   and the extensions that outer layers gave it: whoever was on the way may have written them. Later
//!   requests do not pass the outer layers at all, so authentication belongs into the service that
//!   `upgrade::Tls::new` is given.
//! - A request with a body is answered in clear.
//!
//! A client without ALPN that connects to the same host by `https:` is still open to the attack. So give
//! the server a certificate of its own, for a name that no HTTPS server has. An attacker can also remove
//! the offer from a request. A client that must not speak in clear has to insist on the 101, as with
//! `OPTIONS *` below.
//!
//! What it shows:
//!
//! - The 101 says `Upgrade: TLS/1.2, HTTP/1.1`, with the version that the client offered: 1.2 or 1.3. TLS
//!   agrees on its own version in the handshake. Other offers, such as `TLS/1.0` (RFC 8996) or a bare
//!   `TLS`, are answered in clear.
//! - The request that asked for the switch is answered inside TLS, exactly once. Then the connection goes
//!   on in HTTP/1.1, and nothing upgrades it again.
//! - If the handshake fails, the client gets an alert and the connection is closed. Nothing is answered in
//!   clear after the 101.
//!
//! Run it, with a self-signed certificate for `localhost` or one of your own:
//!
//! ```sh
//! cargo run --example tls --all-features -- 127.0.0.1:3000
//! cargo run --example tls --all-features -- 127.0.0.1:3000 certificate.pem key.pem
//! ```
//!
//! and talk to it from another terminal. curl and browsers cannot do this upgrade; `ipptool`, of CUPS, can.
//! The second command does it by hand:
//!
//! ```sh
//! curl http://127.0.0.1:3000/
//! python3 - <<'PYTHON'
//! import socket, ssl
//! io = socket.create_connection(("127.0.0.1", 3000))
//! io.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: TLS/1.2\r\n\r\n")
//! print(io.recv(1000).decode())
//! tls = ssl._create_unverified_context().wrap_socket(io)
//! print(tls.version(), tls.recv(1000).decode())
//! PYTHON
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

mod certificate;
mod upgrade;

use std::{env, future::IntoFuture, time::Duration};

use axum::{
    Extension, Router,
    http::{Method, Uri},
};
use tokio::{net::TcpListener, time::timeout};
use tower_upgrade::{BoxError, UpgradeLayer};

use crate::upgrade::{Encrypted, Tls};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".into());
    let config = match (arguments.next(), arguments.next()) {
        (Some(certificate), Some(key)) => certificate::read(&certificate, &key)?,
        (Some(_), None) => return Err("a certificate needs its key".into()),
        _ => certificate::self_signed()?,
    };
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    // Named twice, for requests in clear and for those inside TLS.
    let app = Router::new().fallback(answer);
    let upgrades = Tls::new(config, app.clone())
        .register(UpgradeLayer::new())
        .on_failure(|error| println!("{error:#}"));
    let connections = upgrades.connections();
    let service = app.layer(upgrades.for_axum()).layer(UpgradeLayer::outermost());
    let server =
        axum::serve(listener, service).with_graceful_shutdown(connections.draining()).into_future();
    let server = tokio::spawn(server);

    tokio::signal::ctrl_c().await?;
    let (shutdown, _served) =
        tokio::join!(connections.shutdown(DEADLINE), timeout(DEADLINE, server));
    println!("{} finished, {} aborted", shutdown.finished, shutdown.aborted);
    Ok(())
}

/// Answers with the request, and with whether it came in TLS.
async fn answer(method: Method, uri: Uri, encrypted: Option<Extension<Encrypted>>) -> String {
    let how = match encrypted {
        Some(Extension(Encrypted::Request)) => "asked and answered in TLS",
        Some(Extension(Encrypted::ResponseOnly)) => "asked in clear, answered in TLS",
        None => "asked and answered in clear",
    };
    format!("{method} {uri}: {how}\n")
}

/// How long ctrl-C waits for connections.
const DEADLINE: Duration = Duration::from_secs(5);
