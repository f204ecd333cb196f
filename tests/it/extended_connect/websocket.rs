//! WebSocket on a stream of HTTP/2, RFC 8441 §5: `WebSocket`, `Offer`, and axum's handlers.

use tower::Layer;
use tower_upgrade::{
    UpgradeLayer, Upgraded,
    websocket::{Handshake, Origins, WebSocket},
};

use super::{
    connect, serve,
    support::{Answer, Client},
};
use crate::support::*;

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

fn handler(log: &Log) -> WebSocket {
    let log = log.clone();
    WebSocket::new(move |io: Upgraded, handshake: Handshake| {
        log.push(format!("agreed {:?} {:?}", handshake.subprotocol, handshake.extensions));
        echo_run(&log, "websocket")(io)
    })
}

async fn answer(log: &Log, handler: WebSocket, headers: &[(&'static str, &'static str)]) -> Answer {
    let mut client = serve(log, UpgradeLayer::new().on("websocket", handler)).await;
    client.send(connect("websocket", "/x", headers)).await
}

#[tokio::test(start_paused = true)]
async fn a_handshake_needs_no_key_and_has_no_accept() {
    // R8441-5-01 to 5-03
    let log = Log::default();
    let mut answer = answer(&log, handler(&log), &[VERSION]).await;
    answer.is(200, &[]);
    assert_eq!(answer.exchange("frame").await, "[frame]");
    assert_eq!(log.take()[0], "agreed None None");
}

#[tokio::test(start_paused = true)]
async fn subprotocols_and_extensions_are_agreed_as_in_http_1_1() {
    // R6455-4.2.2-subproto, R6455-4.2.2-ext
    let log = Log::default();
    let handler = handler(&log)
        .subprotocols(["chat.v2", "chat.v1"])
        .agree_extensions(|_| Some("permessage-deflate".parse().unwrap()));
    let headers = [
        VERSION,
        ("sec-websocket-protocol", "x, chat.v1"),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        // A client may send it, and it is not looked at.
        ("sec-websocket-key", "x"),
    ];
    answer(&log, handler, &headers).await.is(
        200,
        &["sec-websocket-extensions: permessage-deflate", "sec-websocket-protocol: chat.v1"],
    );
    assert_eq!(log.take()[0], "agreed Some(\"chat.v1\") Some(\"permessage-deflate\")");
}

#[tokio::test(start_paused = true)]
async fn each_check_rejects_as_in_http_1_1_but_with_a_status_of_http_2() {
    let secure = |path: &str, headers| {
        let mut request = connect("websocket", path, headers);
        *request.uri_mut() = format!("https://a.test:443{path}").parse().unwrap();
        request
    };
    let cases: [(http::Request<()>, u16, &str); 14] = [
        (
            connect("websocket", "/x", &[]),
            400,
            "Sec-WebSocket-Version has to be there exactly once\n",
        ),
        (
            connect("websocket", "/x", &[VERSION, VERSION]),
            400,
            "Sec-WebSocket-Version has to be there exactly once\n",
        ),
        (
            connect("websocket", "/x", &[("sec-websocket-version", "013")]),
            400,
            "Sec-WebSocket-Version is malformed\n",
        ),
        // R6455-4.2.2-version: a 426 would need an `Upgrade` header.
        (
            connect("websocket", "/x", &[("sec-websocket-version", "8")]),
            400,
            "this server speaks only version 13 of WebSocket\n",
        ),
        (
            connect("websocket", "/x", &[VERSION, ("origin", "http://evil.test")]),
            403,
            "pages of this origin may not connect\n",
        ),
        (connect("websocket", "/x", &[VERSION, ("origin", "http://a.test")]), 200, ""),
        (secure("/x", &[VERSION, ("origin", "https://a.test")]), 200, ""),
        (
            secure("/x", &[VERSION, ("origin", "http://a.test")]),
            403,
            "pages of this origin may not connect\n",
        ),
        // RFC 9113 §8.3.1: `Host` and `:authority` are the same, if both are there.
        (connect("websocket", "/x", &[VERSION, ("host", "A.test:80")]), 200, ""),
        (secure("/x", &[VERSION, ("host", "a.test")]), 200, ""),
        (connect("websocket", "/x", &[VERSION, ("host", "b.test")]), 400, "Host is malformed\n"),
        (connect("websocket", "/x", &[VERSION, ("host", "a.test:81")]), 400, "Host is malformed\n"),
        (
            connect("websocket", "/x", &[VERSION, ("host", "a.test"), ("host", "a.test")]),
            400,
            "Host is malformed\n",
        ),
        // An origin counts for `:authority`, whatever `Host` says.
        (
            connect(
                "websocket",
                "/x",
                &[VERSION, ("host", "evil.test"), ("origin", "http://evil.test")],
            ),
            400,
            "Host is malformed\n",
        ),
    ];
    for (request, status, text) in cases {
        let log = Log::default();
        let line = format!("{:?} {:?}", request.uri(), request.headers());
        let layer = UpgradeLayer::new().on("websocket", handler(&log));
        let answer = serve(&log, layer).await.send(request).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (status, text), "{line}");
        let version = answer.headers.iter().any(|line| line == "sec-websocket-version: 13");
        assert_eq!(version, text.contains("only version 13"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn listed_origins_are_allowed() {
    let log = Log::default();
    let handler = handler(&log).origins(Origins::list(["https://app.test"]));
    for (origin, status) in [("https://app.test", 200), ("http://a.test", 403)] {
        let answer = answer(&log, handler.clone(), &[VERSION, ("origin", origin)]).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_of_http_2_that_is_no_extended_connect_is_not_an_offer() {
    // `Offer::from_head` may be called without a layer.
    let request = connect("websocket", "/x", &[VERSION]);
    let (mut head, ()) = request.into_parts();
    let origins = Origins::same_host();
    assert!(tower_upgrade::websocket::Offer::from_head(&head, &origins).is_ok());
    head.method = http::Method::GET;
    let rejection = tower_upgrade::websocket::Offer::from_head(&head, &origins).unwrap_err();
    assert_eq!(rejection.status(), 405);
    head.method = http::Method::CONNECT;
    head.extensions.insert(hyper::ext::Protocol::from_static("connect-udp"));
    assert!(tower_upgrade::websocket::Offer::from_head(&head, &origins).is_err());
    // And one of HTTP/1.1 is opened with GET.
    head.version = http::Version::HTTP_11;
    let rejection = tower_upgrade::websocket::Offer::from_head(&head, &origins).unwrap_err();
    assert_eq!(rejection.status(), 405);
}

/// The ways to make `Host` and `:authority` differ, or to spell the origin's host otherwise.
#[tokio::test(start_paused = true)]
async fn the_origin_is_that_of_authority_however_it_is_spelled() {
    let version = ("sec-websocket-version", "13");
    for (uri, headers, status) in [
        ("http://a.test/x", &[("origin", "http://A.TEST")][..], 200),
        ("http://a.test:80/x", &[("origin", "http://a.test")], 200),
        ("https://a.test/x", &[("origin", "https://a.test:443")], 200),
        ("http://a.test/x", &[("origin", "https://a.test")], 200),
        ("http://a.test:8080/x", &[("origin", "http://a.test")], 403),
        ("http://[::1]/x", &[("origin", "http://[::1]")], 200),
        ("http://[::1]/x", &[("origin", "http://[::2]")], 403),
        ("http://a.test/x", &[("origin", "http://a.test.evil.test")], 403),
        ("http://a.test/x", &[("origin", "http://a.test@evil.test")], 403),
        ("http://evil@a.test/x", &[("origin", "http://a.test")], 400),
        ("http://a.test/x", &[("origin", "null")], 403),
        ("http://a.test/x", &[("origin", "http://a.test"), ("origin", "http://e.test")], 403),
        ("http://a.test/x", &[("host", ""), ("origin", "http://a.test")], 400),
        ("http://a.test./x", &[("origin", "http://a.test")], 403),
    ] {
        let log = Log::default();
        let handler = WebSocket::new(|_: Upgraded, _: Handshake| async {});
        let layer = UpgradeLayer::new().on("websocket", handler).extended_connect();
        let mut request = connect("websocket", "/x", headers);
        request.headers_mut().insert(version.0, version.1.parse().unwrap());
        *request.uri_mut() = uri.parse().unwrap();
        let sent = Client::serve(layer.layer(inner(&log))).await.send_raw(request).await;
        let answer = sent.map(|response| response.status().as_u16());
        assert_eq!(answer.ok(), Some(status), "{uri} {headers:?}");
    }
}

#[cfg(feature = "axum")]
mod extractor {
    use axum::{
        Router,
        extract::{State, WebSocketUpgrade},
        response::Response,
        routing::{any, get},
    };
    use tower_http::timeout::ResponseBodyTimeoutLayer;
    use tower_upgrade::{Protocol, Switch, websocket::Offer};

    use super::*;

    #[axum::debug_handler]
    async fn socket(ws: Offer, State(log): State<Log>) -> Switch {
        ws.subprotocols(["chat"]).switch(move |io, agreed| {
            log.push(format!("agreed {:?}", agreed.subprotocol));
            echo_run(&log, "ws")(io)
        })
    }

    #[axum::debug_handler]
    async fn page_or_socket(
        ws: Option<Offer>,
        State(log): State<Log>,
    ) -> Result<Switch, &'static str> {
        Ok(ws.ok_or("a page")?.switch(move |io, _agreed| echo_run(&log, "ws")(io)))
    }

    /// axum's own.
    async fn theirs(ws: WebSocketUpgrade) -> Response {
        ws.on_upgrade(|mut socket| async move { drop(socket.recv().await) })
    }

    fn routes(log: &Log) -> Router {
        Router::new()
            .route("/x", any(socket))
            .route("/get", get(socket))
            .route("/both", any(page_or_socket))
            .route("/theirs", any(theirs))
            .with_state(log.clone())
    }

    fn layer() -> UpgradeLayer {
        UpgradeLayer::new().on_inner("websocket").extended_connect()
    }

    async fn open(app: Router, path: &str) -> Answer {
        Client::serve(app).await.send(connect("websocket", path, &[VERSION])).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_takes_the_offer_as_in_http_1_1() {
        let headers = [VERSION, ("sec-websocket-protocol", "chat")];
        for hides in [false, true] {
            let log = Log::default();
            let mut app = routes(&log).layer(layer().for_axum());
            if hides {
                let timeout = std::time::Duration::from_secs(60);
                app = app
                    .layer(ResponseBodyTimeoutLayer::new(timeout))
                    .layer(UpgradeLayer::outermost());
            }
            let mut client = Client::serve(app).await;
            let mut answer = client.send(connect("websocket", "/x", &headers)).await;
            answer.is(200, &["sec-websocket-protocol: chat"]);
            assert_eq!(answer.exchange("frame").await, "[frame]");
            let expected = ["agreed Some(\"chat\")", "ws runs websocket", "ws reads \"frame\""];
            assert_eq!(log.take(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_and_a_socket_share_a_path() {
        let log = Log::default();
        let mut client = Client::serve(routes(&log).layer(layer())).await;
        let page = http::Request::get("http://a.test/both").body(()).unwrap();
        assert_eq!(client.send(page).await.text, "a page");
        let mut answer = client.send(connect("websocket", "/both", &[VERSION])).await;
        assert_eq!(answer.exchange("frame").await, "[frame]");
    }

    #[tokio::test(start_paused = true)]
    async fn the_agreed_protocol_is_an_extractor() {
        async fn own(
            protocol: Option<Protocol<'static>>,
            State(log): State<Log>,
        ) -> Result<Switch, &'static str> {
            protocol.ok_or("a page")?;
            Ok(Switch::to(echo_run(&log, "own")))
        }

        async fn only_own(_: Protocol<'static>, log: State<Log>) -> Result<Switch, &'static str> {
            own(Some("own".parse().unwrap()), log).await
        }

        for path in ["/own", "/only"] {
            let log = Log::default();
            let routes = Router::new().route("/own", any(own)).route("/only", any(only_own));
            let app = routes.with_state(log.clone()).layer(layer().on_inner("own"));
            let mut client = Client::serve(app).await;
            let mut answer = client.send(connect("own", path, &[])).await;
            assert_eq!(answer.exchange("frame").await, "[frame]");
            // A page would be a 2xx, which opens the tunnel.
            assert_eq!(client.send(connect("other", path, &[])).await.status, 501);
            // Nobody checked the origin.
            let headers = [VERSION, ("origin", "http://evil.test")];
            assert_eq!(client.send(connect("websocket", path, &headers)).await.status, 501);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_switch_that_checked_no_origin_opens_no_websocket() {
        async fn unchecked(State(log): State<Log>) -> Switch {
            Switch::to(echo_run(&log, "own"))
        }

        let log = Log::default();
        let routes = Router::new().route("/own", any(unchecked)).with_state(log.clone());
        let mut client = Client::serve(routes.layer(layer().on_inner("own"))).await;
        let headers = [VERSION, ("origin", "http://evil.test")];
        assert_eq!(client.send(connect("websocket", "/own", &headers)).await.status, 500);
        let mut answer = client.send(connect("own", "/own", &[])).await;
        assert_eq!(answer.exchange("frame").await, "[frame]");
    }

    #[tokio::test(start_paused = true)]
    async fn get_does_not_route_connect() {
        let log = Log::default();
        let answer = open(routes(&log).layer(layer()), "/get").await;
        assert_eq!(answer.status, 405);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_fails_a_check_gets_a_status_of_http_2() {
        let log = Log::default();
        for path in ["/x", "/both"] {
            for (header, status) in [
                (("sec-websocket-version", "8"), 400),
                (("sec-websocket-version", "x"), 400),
                (("origin", "http://evil.test"), 403),
            ] {
                let headers =
                    if header.0 == "origin" { vec![VERSION, header] } else { vec![header] };
                let mut client = Client::serve(routes(&log).layer(layer())).await;
                let answer = client.send(connect("websocket", path, &headers)).await;
                assert_eq!(answer.status, status, "{path} {header:?}");
            }
        }
        assert_eq!(log.take(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_offer_gets_400_where_there_is_no_upgrade() {
        // R9113-8.2.2-01
        let log = Log::default();
        let mut client = Client::serve(routes(&log).layer(layer())).await;
        let answer = client.send(http::Request::get("http://a.test/x").body(()).unwrap()).await;
        answer.is(400, &["content-length: 58"]);
        assert_eq!(answer.text, "this path is a WebSocket: connect with a WebSocket client\n");
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_policy_an_offer_is_501_and_says_so() {
        // `axum::serve` announces extended CONNECT whatever the layers are, so browsers use it.
        let log = Log::default();
        for layer in [None, Some(UpgradeLayer::new().on_inner("websocket"))] {
            for path in ["/x", "/both"] {
                let app = match layer.clone() {
                    Some(layer) => routes(&log).layer(layer),
                    None => routes(&log),
                };
                let answer = open(app, path).await;
                assert_eq!(answer.status, 501);
                assert!(
                    answer.text.contains("`UpgradeLayer::extended_connect`"),
                    "{}",
                    answer.text
                );
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn axums_own_sockets_still_work_inside() {
        let log = Log::default();
        let answer = open(routes(&log).layer(layer()), "/theirs").await;
        assert_eq!(answer.status, 200);
        assert!(answer.tunnel.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_switch_without_a_place_is_turned_away() {
        let log = Log::default();
        let layer = layer().max_connections(0);
        open(routes(&log).layer(layer), "/x")
            .await
            .is(503, &["content-length: 0", "retry-after: 1"]);
    }

    /// "A page would be a 2xx, which opens the tunnel of a CONNECT", of any protocol.
    #[tokio::test(start_paused = true)]
    async fn an_optional_offer_is_no_page_for_an_extended_connect_of_another_protocol() {
        let app = routes(&Log::default()).layer(layer());
        let request = connect("connect-udp", "/both", &[]);
        let answer = Client::serve(app).await.send(request).await;
        assert!(!answer.status.is_success(), "{}", answer.status);
    }

    /// R9220-3-01
    #[tokio::test(start_paused = true)]
    async fn an_offer_is_501_for_an_extended_connect_of_another_protocol() {
        let app = routes(&Log::default()).layer(layer());
        let answer = Client::serve(app).await.connect("connect-udp").await;
        assert_eq!(answer.status, 501);
        // No layer is missing.
        assert_eq!(answer.text, "this path is a WebSocket: connect with a WebSocket client\n");
    }
}
