//! Security: what is checked by default, what is not, and the test or RFC that shows it.
//!
//! Names such as `tests/it/body.rs` are those of files in the repository. The name after `::` is a test.
//!
//! # Checked by default
//!
//! | check | shown by |
//! |---|---|
//! | Only pages of the same host may open a WebSocket; others get a 403 | RFC 6455 §10.2, `tests/it/websocket/origins.rs::by_default_pages_of_the_same_host_may_connect` |
//! | A route for another protocol opens no WebSocket | `tests/it/extended_connect/websocket.rs::a_switch_that_checked_no_origin_opens_no_websocket` |
//! | The whole opening handshake of a WebSocket; the module `websocket` has the table | `tests/it/websocket/mod.rs::host_key_and_version_have_to_be_there_exactly_once` |
//! | `Upgrade` and `Connection` are lists of tokens, compared whole; more than 64 members or 8 KiB are no offer | `tests/it/offers.rs::one_malformed_member_voids_the_header`, `tests/it/security.rs::a_huge_connection_header_is_declined` |
//! | No byte of a request body becomes a byte of the new protocol (request smuggling) | `tests/it/security.rs::no_byte_of_a_body_becomes_one_of_the_protocol`, `tests/it/security.rs::a_body_without_a_known_end_is_never_switched` |
//! | A request with a body is forwarded, unless its handler has a [limit](crate::UpgradeHandler::body_limit) above 0 | `tests/it/body.rs::by_default_a_request_with_a_body_is_forwarded_whole` |
//! | Bytes that the client sent before an answer are the new protocol after a 101, and the next request after anything else | `tests/it/security.rs::bytes_sent_before_the_answer_are_http_unless_it_is_a_101` |
//! | A handshake takes [10 seconds](crate::UpgradeLayer::handshake_timeout) at most | `tests/it/places.rs::a_late_body_gets_a_408_that_closes`, `tests/it/places.rs::a_late_handler_is_a_503_and_the_connection_stays_open` |
//! | A 101 of the inner service, or one that it relays, never starts a handler | `tests/it/security.rs::a_101_of_the_inner_service_is_never_joined_to_a_handler` |
//! | A subprotocol or an extension is agreed on only if the client offered it | `tests/it/websocket/subprotocols.rs::a_subprotocol_that_was_not_offered_is_never_agreed_on`, `tests/it/websocket/extensions.rs::an_answer_that_its_offer_does_not_allow_is_not_sent` |
//! | A panic of a handler is caught, and returns its place | `tests/it/decisions.rs::a_panic_on_the_connection_closes_it`, `tests/it/places.rs::a_handler_that_panics_returns_its_place` |
//!
//! `Origin` is checked for WebSocket only. Scripts in browsers cannot ask for other protocols: `Upgrade` and
//! `Connection` are forbidden request headers of the Fetch standard.
//!
//! `Origin` protects the users of browsers. Any other program can send any value: it authenticates nobody.
//!
//! # Not checked by default
//!
//! | risk | call | shown by |
//! |---|---|---|
//! | An outer layer replaces the 101, and the handler runs all the same: see [layer order](crate#layer-order) | [`outermost`](crate::UpgradeLayer::outermost) | `tests/it/outermost/mod.rs::a_101_that_an_outer_layer_changes_or_replaces_never_starts_the_handler` |
//! | Too many connections | [`max_connections`](crate::UpgradeLayer::max_connections) | `tests/it/places.rs::one_more_than_the_limit_gets_a_503_until_a_place_is_free` |
//! | One client takes all of them | [`max_connections_per`](crate::UpgradeLayer::max_connections_per) | `tests/it/connections/keys.rs::one_more_than_the_limit_of_a_key_gets_a_429` |
//! | Clients that are gone without a word | [`idle_timeout`](crate::UpgradeLayer::idle_timeout) | `tests/it/connections/time.rs::an_idle_connection_is_closed` |
//! | Connections that outlive a login | [`max_lifetime`](crate::UpgradeLayer::max_lifetime) | `tests/it/connections/time.rs::a_connection_that_does_not_end_is_closed_after_a_grace` |
//! | The inner service sends the offer on to another server | [`strip`](crate::UpgradeLayer::strip) | `tests/it/policies/strip.rs::strip_forwards_no_part_of_an_upgrade` |
//! | Who the client is | your layers, your routes, the handler, or `WebSocket::on_connect` | `tests/it/websocket/mod.rs::the_application_may_reject_and_may_add_to_the_request` |
//! | The size of messages | the settings of the [framing crate](crate::guide) | |
//! | The time and the size of a request's head | the HTTP server, see [slow clients](#slow-clients) | |
//!
//! # Layers see no bytes after the 101
//!
//! Outer layers see the request and its 101. Limits of bodies, time, rates and compression do not apply to
//! what follows. Decide who may connect before the 101: in an outer layer, in the route, or in the handler. A
//! connection whose user logs out stays open. End it with [`Connection::abort`](crate::Connection::abort),
//! found by a value that [`attach`](crate::UpgradeLayer::attach) keeps.
//!
//! # Services that send requests on
//!
//! A reverse proxy that passes `Upgrade` on lets a client switch the server behind it, and then reach that
//! server past all routes and checks (h2c smuggling, websocket smuggling). Put
//! [`strip`](crate::UpgradeLayer::strip) around such a service. It also removes hyper's `OnUpgrade`, so a 101
//! that the other server sends opens no tunnel
//! (`tests/it/policies/strip.rs::a_101_that_an_inner_service_relays_opens_no_tunnel`), and answers an
//! extended CONNECT with 501
//! (`tests/it/policies/strip.rs::an_extended_connect_that_no_handler_accepts_is_answered_and_not_forwarded`).
//!
//! To let a protocol through on purpose, register a `tunnel::Tunnel`. It sends the client a 101 only if the
//! upstream has switched to that protocol. It does not check `Origin`: the upstream has to. It takes every
//! path: limit it with `Tunnel::strip_prefix` or [`when`](crate::UpgradeHandler::when). Do not tunnel `h2c`,
//! unless clients may reach the upstream past this server.
//!
//! | a tunnel | shown by |
//! |---|---|
//! | sends up the one protocol that was negotiated, and no header of the client's connection | `tests/it/tunnel/up.rs::the_negotiated_protocol_alone_goes_up_with_all_end_to_end_headers_in_order` |
//! | opens nothing on an answer that is no 101 | `tests/it/tunnel/not_a_switch.rs::any_other_answer_goes_down_whole_without_the_headers_of_its_connection` |
//! | checks the key that the upstream of a WebSocket answers | `tests/it/tunnel/websocket.rs::a_websocket_whose_key_is_not_answered_gets_a_502` |
//! | passes on the `Forwarded` and `X-Forwarded-*` of the client unless [`forwarded`][forwarded] replaces them | `tests/it/tunnel/forwarded.rs::what_a_client_claims_goes_up_unless_it_is_replaced` |
//! | reads no further while the other side does not | `tests/it/tunnel/carry.rs::each_direction_waits_for_its_reader_and_holds_64_kib` |
//! | waits for an upstream for a limited time | `tests/it/tunnel/errors.rs::an_upstream_that_is_too_slow_is_a_504` |
//!
#![cfg_attr(feature = "tunnel", doc = "[forwarded]: crate::tunnel::Tunnel::forwarded")]
#![cfg_attr(not(feature = "tunnel"), doc = "[forwarded]: crate#features")]
//!
//! # HTTP/2 by upgrade
//!
//! The feature `h2c` has two dangers:
//!
//! - Layers outside `UpgradeLayer` see only the first request of a connection. Put authentication around the
//!   service that `H2c::new` gets
//!   (`tests/it/h2c/services.rs::a_layer_that_stands_outside_sees_the_first_request_alone`).
//! - It is for cleartext (RFC 9113 §3.2). Behind a proxy that forwards `Upgrade` without knowing `h2c`,
//!   clients bypass the rules of the proxy.
//!
//! # Slow clients
//!
//! | phase | limit |
//! |---|---|
//! | TCP and TLS handshakes | your listener |
//! | the head of a request | hyper's `header_read_timeout`, which needs `timer(…)` on the builder; `axum::serve` sets no timer, so it has no limit |
//! | the size of the head | hyper: 100 headers and about 400 kB by default, and 16 kB in HTTP/2 |
//! | the body, the decision, and the 101 | [`handshake_timeout`](crate::UpgradeLayer::handshake_timeout): 10 seconds; a client that does not read its 101 loses its place (`tests/it/places.rs::a_client_that_does_not_read_its_101_loses_its_place`) |
//! | the connection | none by default; with [`idle_timeout`](crate::UpgradeLayer::idle_timeout), a writer that is blocked for so long counts as idle (`tests/it/connections/time.rs::a_writer_that_is_blocked_for_too_long_is_idle`) |
//! | the close | [`Upgraded::close`](crate::Upgraded::close): bounded, and a flood does not prolong it |
//! | a shutdown | its deadline |
//!
//! # A 101
//!
//! A 101 has no body, no `Content-Length` and no `Transfer-Encoding`, and no header about the connection but
//! its own two (`tests/it/security.rs::a_101_has_no_header_about_the_connection_or_a_body_but_its_own_two`).
//! Of the client's bytes, only checked tokens go into it, so it cannot be split
//! (`tests/it/security.rs::a_101_cannot_be_split`). It names no protocol that was not offered
//! (`tests/it/decisions.rs::a_101_never_names_a_protocol_that_was_not_offered`).
//!
//! # Aborts
//!
//! An abort closes the connection even if its handler has moved it, or its halves, to other tasks
//! (`tests/it/connections/abort.rs::halves_in_other_tasks_fail_and_the_connection_is_closed`). Two cases
//! escape: a holder that never polls it, which [`Shutdown::remaining`](crate::Shutdown::remaining) counts,
//! and IO that was taken out with [`Upgraded::downcast`](crate::Upgraded::downcast)
//! (`tests/it/connections/abort.rs::a_connection_that_was_taken_apart_is_not_reached`).
//!
//! # The code
//!
//! The crate has no `unsafe` code, and `forbid(unsafe_code)` keeps it so. Its parsers of headers are loops
//! with limits, compared with a naive parser on generated input. The bytes of HTTP/2 by upgrade are fuzzed
//! (`fuzz/`). `tests/it/security.rs` tries the incidents of other implementations on this one.
