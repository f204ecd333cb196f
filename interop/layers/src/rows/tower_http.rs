//! Rows of tower-http.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use tower::ServiceBuilder;
use tower_http::{
    add_extension::AddExtensionLayer,
    auth::{AddAuthorizationLayer, AsyncRequireAuthorizationLayer},
    catch_panic::CatchPanicLayer,
    compression::{CompressionLayer, CompressionLevel, predicate::SizeAbove},
    cors::CorsLayer,
    csrf::CsrfLayer,
    decompression::{DecompressionLayer, RequestDecompressionLayer},
    follow_redirect::FollowRedirectLayer,
    limit::RequestBodyLimitLayer,
    map_request_body::MapRequestBodyLayer,
    map_response_body::MapResponseBodyLayer,
    metrics::InFlightRequestsLayer,
    normalize_path::NormalizePathLayer,
    on_early_drop::OnEarlyDropLayer,
    propagate_header::PropagateHeaderLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::{
        SetSensitiveHeadersLayer, SetSensitiveRequestHeadersLayer, SetSensitiveResponseHeadersLayer,
    },
    set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer},
    timeout::{
        RequestBodyDeadlineLayer, RequestBodyTimeoutLayer, ResponseBodyDeadlineLayer,
        ResponseBodyTimeoutLayer, TimeoutLayer,
    },
    trace::{DefaultOnBodyChunk, DefaultOnEos, TraceLayer},
    validate_request::ValidateRequestHeaderLayer,
};

use crate::{
    harness::under,
    rows::{EOF, Kind::*, MALFORMED, Row, WORKS, row},
};

const MINUTE: Duration = Duration::from_mins(1);
const NAME: HeaderName = HeaderName::from_static("x-row");
const VALUE: HeaderValue = HeaderValue::from_static("value");

pub(crate) fn rows() -> Vec<Row> {
    vec![
        row("AddExtensionLayer", Head, under(AddExtensionLayer::new(1_u8)), WORKS),
        row("AddAuthorizationLayer", Head, under(AddAuthorizationLayer::bearer("token")), WORKS),
        row(
            "AsyncRequireAuthorizationLayer",
            Gate,
            under(AsyncRequireAuthorizationLayer::new(|request: Request<Body>| async {
                Ok::<_, Response<Body>>(request)
            })),
            WORKS,
        ),
        row(
            "ValidateRequestHeaderLayer, accept",
            Gate,
            under(ValidateRequestHeaderLayer::<_>::accept("text/html")),
            WORKS,
        ),
        row(
            "ValidateRequestHeaderLayer, a value",
            Gate,
            under(
                ValidateRequestHeaderLayer::<_>::has_header_value("host", "a.test")
                    .expect("the name of a header"),
            ),
            WORKS,
        ),
        row("CsrfLayer", Gate, under(CsrfLayer::new()), WORKS),
        row("CatchPanicLayer", Passes, under(CatchPanicLayer::new()), WORKS),
        row("CompressionLayer", Passes, under(CompressionLayer::new()), WORKS),
        row(
            "CompressionLayer, everything",
            HidesResponse,
            under(
                CompressionLayer::new()
                    .quality(CompressionLevel::Fastest)
                    .compress_when(SizeAbove::new(0)),
            ),
            EOF,
        ),
        row("DecompressionLayer", HidesResponse, under(DecompressionLayer::new()), EOF),
        row(
            "RequestDecompressionLayer",
            HidesRequest,
            under(RequestDecompressionLayer::new()),
            WORKS,
        ),
        row("CorsLayer, permissive", Head, under(CorsLayer::permissive()), WORKS),
        row("CorsLayer, very permissive", Head, under(CorsLayer::very_permissive()), WORKS),
        row("FollowRedirectLayer", Head, under(FollowRedirectLayer::new()), WORKS),
        row("RequestBodyLimitLayer", PassesRequest, under(RequestBodyLimitLayer::new(64)), WORKS),
        row(
            "MapRequestBodyLayer, a box",
            PassesRequest,
            under(MapRequestBodyLayer::new(|body: Body| Body::new(body.boxed_unsync()))),
            WORKS,
        ),
        row(
            "MapResponseBodyLayer, a box",
            Passes,
            under(MapResponseBodyLayer::new(|body: Body| body.boxed_unsync())),
            WORKS,
        ),
        row("InFlightRequestsLayer", Passes, under(InFlightRequestsLayer::pair().0), WORKS),
        row(
            "NormalizePathLayer, trim",
            Head,
            under(NormalizePathLayer::trim_trailing_slash()),
            WORKS,
        ),
        row("OnEarlyDropLayer", Passes, under(OnEarlyDropLayer::new(())), WORKS),
        row("PropagateHeaderLayer", Head, under(PropagateHeaderLayer::new(NAME)), WORKS),
        row(
            "SetRequestIdLayer",
            Head,
            under(SetRequestIdLayer::x_request_id(MakeRequestUuid)),
            WORKS,
        ),
        row(
            "SetRequestIdLayer, PropagateRequestIdLayer",
            Head,
            under(
                ServiceBuilder::new()
                    .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                    .layer(PropagateRequestIdLayer::x_request_id()),
            ),
            WORKS,
        ),
        row("SetSensitiveHeadersLayer", Head, under(SetSensitiveHeadersLayer::new([NAME])), WORKS),
        row(
            "SetSensitiveRequestHeadersLayer",
            Head,
            under(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION])),
            WORKS,
        ),
        row(
            "SetSensitiveResponseHeadersLayer",
            Head,
            under(SetSensitiveResponseHeadersLayer::new([header::UPGRADE])),
            WORKS,
        ),
        row(
            "SetRequestHeaderLayer, overriding",
            Head,
            under(SetRequestHeaderLayer::overriding(NAME, VALUE)),
            WORKS,
        ),
        row(
            "SetRequestHeaderLayer, appending",
            Head,
            under(SetRequestHeaderLayer::appending(NAME, VALUE)),
            WORKS,
        ),
        row(
            "SetRequestHeaderLayer, if not present",
            Head,
            under(SetRequestHeaderLayer::if_not_present(NAME, VALUE)),
            WORKS,
        ),
        row(
            "SetResponseHeaderLayer, overriding",
            Head,
            under(SetResponseHeaderLayer::overriding(NAME, VALUE)),
            WORKS,
        ),
        row(
            "SetResponseHeaderLayer, appending",
            Head,
            under(SetResponseHeaderLayer::appending(NAME, VALUE)),
            WORKS,
        ),
        row(
            "SetResponseHeaderLayer, if not present",
            Head,
            under(SetResponseHeaderLayer::if_not_present(NAME, VALUE)),
            WORKS,
        ),
        row(
            "SetResponseHeaderLayer, overriding `Connection`",
            Framing,
            under(SetResponseHeaderLayer::overriding(
                header::CONNECTION,
                HeaderValue::from_static("keep-alive"),
            )),
            MALFORMED,
        ),
        row(
            "SetResponseHeaderLayer, `Content-Length` from `size_hint`",
            Passes,
            under(SetResponseHeaderLayer::if_not_present(
                header::CONTENT_LENGTH,
                |response: &Response<Body>| response.body().size_hint().exact().map(Into::into),
            )),
            WORKS,
        ),
        row(
            "TimeoutLayer",
            Limit,
            under(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, MINUTE)),
            WORKS,
        ),
        row(
            "RequestBodyTimeoutLayer",
            HidesRequest,
            under(RequestBodyTimeoutLayer::new(MINUTE)),
            WORKS,
        ),
        row(
            "RequestBodyDeadlineLayer",
            HidesRequest,
            under(RequestBodyDeadlineLayer::new(MINUTE)),
            WORKS,
        ),
        row(
            "ResponseBodyTimeoutLayer",
            HidesResponse,
            under(ResponseBodyTimeoutLayer::new(MINUTE)),
            EOF,
        ),
        row(
            "ResponseBodyDeadlineLayer",
            Passes,
            under(ResponseBodyDeadlineLayer::new(MINUTE)),
            WORKS,
        ),
        row("TraceLayer, HTTP", Passes, under(TraceLayer::new_for_http()), WORKS),
        row("TraceLayer, gRPC", Passes, under(TraceLayer::new_for_grpc()), WORKS),
        row(
            "TraceLayer, chunks and ends",
            Passes,
            under(
                TraceLayer::new_for_http()
                    .on_body_chunk(DefaultOnBodyChunk::new())
                    .on_eos(DefaultOnEos::new()),
            ),
            WORKS,
        ),
        row(
            "trace, catch-panic, timeout, compression, CORS, request id",
            Passes,
            under(
                ServiceBuilder::new()
                    .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
                    .layer(TraceLayer::new_for_http())
                    .layer(CatchPanicLayer::new())
                    .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, MINUTE))
                    .layer(CompressionLayer::new())
                    .layer(CorsLayer::permissive()),
            ),
            WORKS,
        ),
    ]
}
