//! Operating: the events of the feature `tracing`, and the metrics of the feature `metrics`.
//!
//! # Logs
//!
//! With the feature `tracing`, the span `upgrade` has the fields `protocol`, `method` and `path`,
//! and follows from the span of the request. The function on the connection runs inside of it.
//!
//! | event | level | fields |
//! |---|---|---|
//! | `declined` | debug, outside the span | `reason`, as in [`Declined`](crate::Declined); `method`, `path`, `version` |
//! | `upgrade required` | debug, outside the span | `status`, `method`, `path`, `version` |
//! | clients of HTTP/2 upgrade in HTTP/1.1: the [server's setting](crate::UpgradeLayer::extended_connect) may be missing | warn, once for each layer | |
//! | `turned away` | info, outside the span | `outcome`: `at_capacity`, `at_key_capacity` or `drained`; `protocol`, `method`, `path` |
//! | `rejected` | info | `status`; `reason`, if the [`Rejection`](crate::Rejection) has one; with the reason `origin`, `origin` and the `host` that it was compared with; outside the span also `protocol`, `method`, `path`, if the inner service returned the [`Rejection`](crate::Rejection) |
//! | `switched` | info | |
//! | `ended` | info | `duration`; `read` and `written` in bytes, until a `downcast` |
//! | the text of an [`UpgradeError`](crate::UpgradeError) | warn; error for a panic, and for the first [`Replaced`](crate::UpgradeErrorKind::Replaced) without an outermost layer, or with one that is not the outermost | `kind`, `source` |
//!
//! The log of the example `graceful`, with `RUST_LOG=tower_upgrade=debug` and without the timestamps. In
//! order: a client connects and closes, a handshake is malformed, an offer is for an unknown protocol, a
//! client disconnects without a close frame, two stay, an offer is turned away during the shutdown, one of the two
//! answers the server's close frame, and the other is aborted at the deadline:
//!
//! ```text
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: switched
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: ended duration=996µs read=27 written=11
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: rejected status=400 reason="key"
//! DEBUG tower_upgrade: declined reason="unregistered" method=GET path="/" version=HTTP/1.1
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: switched
//!  WARN upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: the upgraded connection ended with an error kind=Handler source=WebSocket protocol error: Connection reset without closing handshake source.sources=[Connection reset without closing handshake]
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: ended duration=307µs read=0 written=0
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: switched
//!  INFO upgrade{protocol=websocket method=GET path="/stuck"}: tower_upgrade: switched
//!  INFO tower_upgrade: turned away outcome="drained" protocol=websocket method=GET path="/ws"
//!  INFO upgrade{protocol=websocket method=GET path="/ws"}: tower_upgrade: ended duration=1.977ms read=8 written=14
//!  WARN upgrade{protocol=websocket method=GET path="/stuck"}: tower_upgrade: the connection was aborted, by a shutdown at its deadline or by its handle kind=Aborted
//!  INFO upgrade{protocol=websocket method=GET path="/stuck"}: tower_upgrade: ended duration=2.002355s read=0 written=0
//! ```
//!
//! An axum handler that returns `Err(StatusCode)` counts as `declined`. Return a
//! [`Rejection`](crate::Rejection) to have the request logged and counted as `rejected`.
//!
//! # Metrics
//!
//! With the feature `metrics`:
//!
//! | name | kind | labels |
//! |---|---|---|
//! | `http_upgrades_total` | counter | `protocol`; `outcome`: `switched`, `rejected`, `at_capacity`, `at_key_capacity`, `drained`, `timed_out`, `failed`, `panicked`, `aborted`, `idle`, `expired`, `upstream_failed`; `reason`, if a [`Rejection`](crate::Rejection) has one |
//! | `http_upgrades_declined_total` | counter | `reason`: `request`, `connection`, `upgrade`, `unregistered`, `body`, `unaccepted`, `capacity`, as in [`Declined`](crate::Declined) |
//! | `http_upgrades_required_total` | counter, requests answered because of [`required`](crate::UpgradeLayer::required) | |
//! | `http_upgrades_active` | gauge, connections | `protocol` |
//! | `http_upgrade_duration_seconds` | histogram, seconds from the switch to the end | `protocol` |
//!
//! The label `protocol` is the registered name, without a version that a client may choose. A
//! connection that was switched may have a second outcome, when it fails.
//!
//! | second outcome | reason |
//! |---|---|
//! | `failed` | the function on the connection returned an error |
//! | `panicked` | it panicked |
//! | `aborted` | a shutdown was at its deadline, or [`Connection::abort`](crate::Connection::abort) was called |
//! | `idle` | no byte for [`idle_timeout`](crate::UpgradeLayer::idle_timeout) |
//! | `expired` | it did not end after [`max_lifetime`](crate::UpgradeLayer::max_lifetime) and its grace |
//!
//! `upstream_failed` is a request whose `tunnel::Tunnel` answered 502 or 504, because its upstream did not
//! switch.
//!
//! The gauge is set to the number of connections at each change. So a recorder that is installed late, or
//! that drops a series after a while, shows the right number again when the next connection begins or ends.
//! All layers of a process count together.
//!
//! A client cannot make a new reason of the outcome `rejected`. The reasons are:
//!
//! - those of your handlers: [`Rejection::with_reason`](crate::Rejection::with_reason)
//! - of the feature `websocket`: `method`, `host`, `version`, `key`, `origin`, `extensions` and `offer`
//! - of the feature `h2c`: `host`
//! - of the feature `tunnel`: `method`, `host`, `target`, `coding`, `key`, and `upstream` for an answer of the
//!   upstream that does not switch
//!
//! One run of the example `graceful`, as Prometheus sees it, without the types and the buckets: one client
//! comes and goes, one sends a malformed handshake, one asks for an unknown protocol, one breaks off, and
//! two stay. `interop/operating.sh --print` in the repository prints the log and the metrics anew.
//!
//! ```text
//! http_upgrade_duration_seconds_count{protocol="websocket"} 2
//! http_upgrades_active{protocol="websocket"} 2
//! http_upgrades_declined_total{reason="unregistered"} 1
//! http_upgrades_total{protocol="websocket",outcome="failed"} 1
//! http_upgrades_total{protocol="websocket",outcome="rejected",reason="key"} 1
//! http_upgrades_total{protocol="websocket",outcome="switched"} 4
//! ```
