//! Logs and metrics, with the features that provide them.

use axum::Router;
use tower_upgrade::BoxError;

/// Logs what `RUST_LOG` asks for.
#[cfg(feature = "tracing")]
pub(crate) fn log() {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn log() {}

/// Serves the metrics.
#[cfg(feature = "metrics")]
pub(crate) fn metrics() -> Result<Router, BoxError> {
    use std::future;

    use axum::routing::get;
    use metrics_exporter_prometheus::PrometheusBuilder;

    // Connections last for hours rather than for milliseconds.
    let seconds = [1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0];
    let recorder = PrometheusBuilder::new().set_buckets(&seconds)?.install_recorder()?;
    Ok(Router::new().route("/metrics", get(move || future::ready(recorder.render()))))
}

#[cfg(not(feature = "metrics"))]
#[allow(clippy::unnecessary_wraps, reason = "it can fail with the feature")]
pub(crate) fn metrics() -> Result<Router, BoxError> {
    Ok(Router::new())
}
