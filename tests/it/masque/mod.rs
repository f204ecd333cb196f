//! The proxies of the examples: `connect-udp` and `connect-tcp`.

// The tests run the handlers of the examples.
#[path = "../../../examples/masque/capsule.rs"]
mod capsule;
#[path = "../../../examples/masque/elsewhere.rs"]
mod elsewhere;
#[path = "../../../examples/masque/proxy.rs"]
mod proxy;
#[path = "../../../examples/masque/target.rs"]
mod target;
#[path = "../../../examples/masque/tcp.rs"]
mod tcp;
#[path = "../../../examples/masque/udp.rs"]
mod udp;

mod capsules;
mod datagrams;
mod ends;
mod names;
mod requests;
mod streams;
mod support;
mod targets;
