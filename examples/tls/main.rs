//! TLS by upgrade (RFC 2817): a connection starts in clear and continues inside TLS.
//!
//! **Do not serve web pages like this: CVE-2025-49812.** Apache's httpd had this upgrade, with `SSLEngine
//! optional`, and removed it. An attacker between a browser and the server sends a request in clear, with
//! `Upgrade: TLS/1.2`. After the 101, the attacker connects the browser to that connection. The browser has
//! asked for `https:`, and sees the handshake of the real server. But the first response inside TLS answers
//! the attacker's request. The browser takes it for the answer to its own request, and every later response
//! is off by one.
//!
//! The fault is in the protocol: no handshake covers the request in clear, and RFC 2817 wants that request
//! answered inside TLS. So this is an example, and no feature of the crate. It is for clients that know no
//! other way, such as those of printers. All others use `https:`.
//!
//! The example defends itself as follows:
//!
//! - It rejects clients that offer ALPN. Browsers and most libraries offer it for `https:`. A client that
//!   upgrades does not need it, because the 101 names the protocol.
//! - A request that came in clear loses its `Authorization` and `Cookie` headers before it is answered
//!   inside TLS, and the extensions of outer layers: an attacker may have written the request.
//! - A request with a body is answered in clear.
//!
//! This is left to you:
//!
//! - A client for `https:` without ALPN is still open to the attack. Use a certificate for a name that no
//!   HTTPS server has.
//! - Later requests on the connection bypass the layers around `UpgradeLayer`. Put authentication around the
//!   app that `Tls::new` gets.
//! - An attacker can remove the offer from a request. A client that must not speak in clear has to insist on
//!   the 101, as in the second command below.
//!
//! It shows:
//!
//! - The 101 has `Upgrade: TLS/1.2, HTTP/1.1`, or `TLS/1.3` if the client offered that first. The handshake
//!   agrees on its own version. Other offers, such as `TLS/1.0` (RFC 8996) or a bare `TLS`, are answered in
//!   clear.
//! - The request that asked for the switch is answered inside TLS, exactly once. The connection continues in
//!   HTTP/1.1, and is not upgraded again.
//! - If the handshake fails, the client gets an alert and the connection is closed. After the 101, nothing is
//!   sent in clear.
//!
//! Run it, with a self-signed certificate for `localhost` or one of your own:
//!
//! ```sh
//! cargo run --example tls --all-features -- 127.0.0.1:3000
//! cargo run --example tls --all-features -- 127.0.0.1:3000 certificate.pem key.pem
//! ```
//!
//! and talk to it from another terminal. curl and browsers cannot upgrade to TLS. Python does it by hand, and
//! the programs of CUPS do it with `-E`:
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
//! lpstat -E -h 127.0.0.1:3000 -r
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
use tower::Layer;
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
    // Around the router: on it, axum would replace the body of a 101 for HEAD.
    let service = UpgradeLayer::outermost().for_axum().layer(upgrades.for_axum().layer(app));
    let server = axum::serve(listener, service.into_make_service())
        .with_graceful_shutdown(connections.draining())
        .into_future();
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
