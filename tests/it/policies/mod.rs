//! Requests that no handler takes: `required`, `advertise` and `strip`, and all at once.

mod advertise;
mod required;
mod strip;

use tower::Layer;
use tower_upgrade::UpgradeLayer;

use crate::support::*;

/// The registered protocols of the fixture.
const LIST: &str = "websocket, h2c, TLS, connect-udp, foo, bar/2";

fn serve(log: &Log, layer: &UpgradeLayer) -> Wire {
    Wire::serve(layer.layer(inner(log)))
}

fn upgrade_required(connection: &str) -> String {
    let text = format!("an upgrade is required, to one of these protocols: {LIST}\n");
    format!(
        "HTTP/1.1 426 Upgrade Required\r\ncontent-type: text/plain; charset=utf-8\r\n\
         upgrade: {LIST}\r\nconnection: {connection}\r\ncontent-length: {}\r\n\r\n{text}",
        text.len(),
    )
}

/// RFC 9110 §7.8 has this example, and MDN's page on `Upgrade` a similar one.
#[tokio::test(start_paused = true)]
async fn each_protocol_of_a_list_is_taken_by_whoever_speaks_it() {
    let offer = "Connection: upgrade\r\nUpgrade: HTTP/2.0, SHTTP/1.3, IRC/6.9, RTA/x11\r\n";
    for protocol in ["HTTP/2.0", "SHTTP/1.3", "IRC/6.9", "RTA/x11"] {
        let log = Log::default();
        let layer = UpgradeLayer::new().on(protocol, echo(&log, "it"));
        for layer in [layer.clone(), layer.clone().required(), layer.clone().advertise()] {
            let mut wire = serve(&log, &layer);
            wire.exchange(get(offer) + "NP")
                .await
                .is(&(switching(protocol) + "[NP]"))
                .and_is_open();
        }
        let (name, version) = protocol.split_once('/').unwrap();
        let other = format!("{CU}Upgrade: {name}/{version}0, {name}\r\n");
        let received = serve(&log, &layer.required()).exchange(get(&other)).await;
        received.starts_with("HTTP/1.1 426 ").and_is_open();
        assert!(received.text.contains(&format!("\r\nupgrade: {protocol}\r\n")), "{received:?}");
    }
}

/// All policies at once, around a connection's requests: an ordinary one, a refused one, and the one that is
/// taken.
#[tokio::test(start_paused = true)]
async fn all_policies_hold_for_each_request_of_a_connection_in_order() {
    // R9110-3.3-01, R9112-9.3.2-01, P-59, P-61, S-13, S-25, R9110-7.8-13
    let refused = get(&format!("{CU}Upgrade: nope\r\n"));
    let options = request("OPTIONS * HTTP/1.1", "");
    let taken = request("OPTIONS * HTTP/1.1", FOO);
    let bytes = [get(""), refused.clone(), options, refused, taken, "NP".into()].concat();
    let advertised =
        OK.replacen("\r\n", &format!("\r\nupgrade: {LIST}\r\nconnection: upgrade\r\n"), 1);
    let demanded = upgrade_required("upgrade");
    let end = switching("foo") + "[NP]";
    for at in 0..bytes.len() {
        let log = Log::default();
        let layer = fixture(&log).advertise().strip().extended_connect();
        let received = serve(&log, &layer).exchange_split(bytes.as_bytes(), at).await;
        // The bytes behind the taken request may come in two pieces.
        let received = received.text.replace("][", "");
        assert_eq!(received, advertised.repeat(4) + &end, "split at {at}");
        assert_eq!(log.count("inner "), 4);
        assert!(!log.take().iter().any(|event| event.ends_with(" upgradable")));

        let received = serve(&log, &layer.required()).exchange_split(bytes.as_bytes(), at).await;
        let received = received.text.replace("][", "");
        assert_eq!(received, demanded.repeat(4) + &end, "split at {at}");
        assert_eq!(log.count("inner "), 0);
    }
}
