//! Rows of layers by others than tower, tower-http and axum.

use axum::{
    Router,
    extract::Request,
    middleware::{Next, from_extractor, from_fn},
    response::Response,
    routing::get,
};
use axum_client_ip::{ClientIp, ClientIpSource};
use axum_csrf::{CsrfConfig, CsrfLayer};
use axum_helmet::{Helmet, HelmetLayer};
use axum_htmx::{AutoVaryLayer, HxRequestGuardLayer};
use axum_login::AuthManagerLayerBuilder;
use axum_messages::MessagesManagerLayer;
use axum_metrics::MetricLayer;
use axum_otel_metrics::HttpMetricsLayerBuilder;
use axum_prometheus::{BaseMetricLayer, GenericMetricLayer, MakeDefaultHandle};
use axum_server_timing::ServerTimingLayer;
use axum_session::{SessionConfig, SessionLayer, SessionNullPool, SessionStore};
use axum_tracing_opentelemetry::middleware::{OtelAxumLayer, OtelInResponseLayer};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Uri, header};
use http_cache::{CacheManager, HttpResponse};
use http_cache_semantics::CachePolicy;
use http_cache_tower::HttpCacheLayer;
use sentry_tower::{NewSentryLayer, SentryHttpLayer};
use socketioxide::SocketIo;
use tonic::service::{InterceptorLayer, RecoverErrorLayer, Routes};
use tower::{ServiceBuilder, util::MapRequestLayer};
use tower_allowed_hosts::AllowedHostLayer;
use tower_cookies::{CookieManagerLayer, Cookies};
use tower_default_headers::DefaultHeadersLayer;
use tower_governor::{
    GovernorLayer, governor::GovernorConfigBuilder, key_extractor::GlobalKeyExtractor,
    key_extractor::SmartIpKeyExtractor,
};
use tower_livereload::LiveReloadLayer;
use tower_otel::{metrics, trace};
use tower_request_id::RequestIdLayer;
use tower_sessions::{MemoryStore, SessionManagerLayer};
use tracing::Level;

use super::{EOF, Kind::*, Row, WORKS, row};
use crate::{
    harness::{Word, app, routed, under},
    stores::{Backend, User, set_value},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = sessions();
    rows.extend(gates());
    rows.extend(observers());
    rows.extend(others());
    rows
}

fn sessions() -> Vec<Row> {
    vec![
        row("tower-cookies", Head, under(CookieManagerLayer::new()), WORKS),
        row(
            "tower-cookies, a cookie set",
            Head,
            routed(|router| router.layer(from_fn(set_cookie)).layer(CookieManagerLayer::new())),
            WORKS,
        ),
        row("tower-sessions", Gate, under(SessionManagerLayer::new(MemoryStore::default())), WORKS),
        row(
            "tower-sessions, a value set",
            Gate,
            routed(|router| {
                let sessions = SessionManagerLayer::new(MemoryStore::default());
                router.layer(from_fn(set_value)).layer(sessions)
            }),
            WORKS,
        ),
        row(
            "axum-messages",
            Gate,
            under(
                ServiceBuilder::new()
                    .layer(SessionManagerLayer::new(MemoryStore::default()))
                    .layer(MessagesManagerLayer),
            ),
            WORKS,
        ),
        row(
            "axum-login",
            Gate,
            routed(|router| {
                let sessions = SessionManagerLayer::new(MemoryStore::default());
                router.layer(AuthManagerLayerBuilder::new(Backend, sessions).build())
            }),
            WORKS,
        ),
        row(
            "axum-login, login_required",
            Gate,
            routed(|router| {
                let sessions = SessionManagerLayer::new(MemoryStore::default());
                router
                    .route_layer(axum_login::login_required!(Backend))
                    .layer(from_fn(log_in))
                    .layer(AuthManagerLayerBuilder::new(Backend, sessions).build())
            }),
            WORKS,
        ),
        row(
            "axum_session",
            Gate,
            routed(|router| {
                let store = SessionStore::<SessionNullPool>::new(None, SessionConfig::default());
                let store = store.now_or_never().expect("nothing to wait for");
                router.layer(SessionLayer::new(store.expect("a store in memory")))
            }),
            WORKS,
        ),
    ]
}

fn gates() -> Vec<Row> {
    vec![
        row(
            "tower_governor, all clients as one",
            Gate,
            routed(|router| {
                let config = GovernorConfigBuilder::default()
                    .key_extractor(GlobalKeyExtractor)
                    .finish()
                    .expect("the defaults");
                router.layer(GovernorLayer::new(config))
            }),
            WORKS,
        ),
        row(
            "tower_governor, by address, with headers",
            Gate,
            routed(|router| {
                let config = GovernorConfigBuilder::default()
                    .key_extractor(SmartIpKeyExtractor)
                    .use_headers()
                    .finish()
                    .expect("the defaults");
                router.layer(GovernorLayer::new(config))
            }),
            WORKS,
        ),
        row("axum_csrf", Gate, under(CsrfLayer::new(CsrfConfig::default())), WORKS),
        row("axum-htmx, HxRequestGuardLayer", Gate, under(HxRequestGuardLayer::default()), WORKS),
        row(
            "axum-htmx, AutoVaryLayer",
            HoldsResponse,
            routed(|router| router.layer(AutoVaryLayer)),
            [Word::Works, Word::Works, Word::Eof],
        )
        .except(
            [Word::Works, Word::Works, Word::Refused(503)],
            "it holds the response until the request's extensions are dropped, and the handler of a \
            WebSocket gets the request",
        ),
        row("tower_allowed_hosts", Gate, under(AllowedHostLayer::new("a.test")), WORKS),
        row(
            "axum-client-ip",
            Head,
            routed(|router| {
                router
                    .layer(from_extractor::<ClientIp>())
                    .layer(ClientIpSource::RightmostXForwardedFor.into_extension())
            }),
            WORKS,
        ),
    ]
}

fn observers() -> Vec<Row> {
    vec![
        row("axum-metrics", HidesRequest, under(MetricLayer::default()), WORKS),
        row("axum-otel-metrics", Head, under(HttpMetricsLayerBuilder::new().build()), WORKS),
        row("axum-prometheus", Passes, under(BaseMetricLayer::new()), WORKS),
        row(
            "axum-prometheus, sizes of bodies",
            Passes,
            under(BaseMetricLayer::with_response_body_size()),
            WORKS,
        ),
        row(
            "axum-prometheus, generic",
            Passes,
            routed(|router| router.layer(GenericMetricLayer::<'_, (), NoRecorder>::pair().0)),
            WORKS,
        ),
        row("axum-server-timing", Head, under(ServerTimingLayer::new("row")), WORKS),
        row("axum-tracing-opentelemetry", Head, under(OtelAxumLayer::default()), WORKS),
        row("axum-tracing-opentelemetry, response", Head, under(OtelInResponseLayer), WORKS),
        row("tower-otel, trace", Head, under(trace::HttpLayer::server(Level::INFO)), WORKS),
        row(
            "tower-otel, trace of the body",
            Passes,
            under(trace::HttpLayer::server(Level::INFO).trace_body()),
            WORKS,
        ),
        row("tower-otel, gRPC", Head, under(trace::GrpcLayer::server(Level::INFO)), WORKS),
        row(
            "tower-otel, metrics",
            Head,
            under(metrics::HttpLayer::server(&opentelemetry::global::meter("row"))),
            WORKS,
        ),
        row(
            "sentry-tower",
            Head,
            under(
                ServiceBuilder::new()
                    .layer(NewSentryLayer::<Request>::new_from_top())
                    .layer(SentryHttpLayer::new().enable_transaction()),
            ),
            WORKS,
        ),
        row("tower-request-id", Head, under(RequestIdLayer), WORKS),
    ]
}

fn others() -> Vec<Row> {
    vec![
        row("tower-helmet", Head, under(tower_helmet::HelmetLayer::with_defaults()), WORKS),
        row("axum-helmet", Head, under(helmet()), WORKS),
        row("tower-default-headers", Head, under(DefaultHeadersLayer::new(headers())), WORKS),
        row("tower-livereload", HidesResponse, under(LiveReloadLayer::new()), EOF),
        row(
            "http-cache-tower",
            RebuildsResponse,
            under(
                ServiceBuilder::new()
                    .layer(MapRequestLayer::new(absolute))
                    .layer(HttpCacheLayer::new(NoCache)),
            ),
            [Word::Eof, Word::Works, Word::Eof],
        ),
        row("socketioxide outside", Router, under(SocketIo::new_layer().0), WORKS),
        row(
            "socketioxide beside it",
            Router,
            routed(|router| {
                let (service, _) = SocketIo::new_svc();
                Router::new().route_service("/socket.io/", service).merge(router)
            }),
            WORKS,
        ),
        row(
            "tonic, Routes",
            Router,
            Box::new(|subject| app(Routes::from(subject.router()))),
            WORKS,
        ),
        row(
            "tonic, its Router merged",
            Router,
            routed(|router| {
                let grpc = Routes::from(Router::new().route("/grpc", get(async || ())));
                router.merge(grpc.prepare().into_axum_router())
            }),
            WORKS,
        ),
        row(
            "tonic, InterceptorLayer",
            Gate,
            under(InterceptorLayer::new(|request: tonic::Request<()>| Ok(request))),
            WORKS,
        ),
        row("tonic, RecoverErrorLayer", Passes, under(RecoverErrorLayer::new()), WORKS),
    ]
}

async fn set_cookie(cookies: Cookies, request: Request, next: Next) -> Response {
    cookies.add(tower_cookies::Cookie::new("row", "value"));
    next.run(request).await
}

async fn log_in(
    mut session: axum_login::AuthSession<Backend>,
    mut request: Request,
    next: Next,
) -> Response {
    session.login(&User).await.ok();
    request.extensions_mut().insert(session);
    next.run(request).await
}

fn helmet() -> HelmetLayer {
    Helmet::default().into_layer().expect("the defaults")
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(header::SERVER, HeaderValue::from_static("row"))])
}

/// A cache wants to know the whole URI.
fn absolute(mut request: Request) -> Request {
    *request.uri_mut() = Uri::from_static("http://a.test/x");
    request
}

/// A cache that keeps nothing.
struct NoCache;

impl CacheManager for NoCache {
    async fn get(&self, _: &str) -> http_cache::Result<Option<(HttpResponse, CachePolicy)>> {
        Ok(None)
    }

    async fn put(
        &self,
        _: String,
        response: HttpResponse,
        _: CachePolicy,
    ) -> http_cache::Result<HttpResponse> {
        Ok(response)
    }

    async fn delete(&self, _: &str) -> http_cache::Result<()> {
        Ok(())
    }
}

/// Installs no recorder for axum-prometheus.
#[derive(Default)]
struct NoRecorder;

impl MakeDefaultHandle for NoRecorder {
    type Out = ();

    fn make_default_handle(self) {}
}
