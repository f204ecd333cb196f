//! The same server by hand, on bare hyper: what the layer is to do, one rule after the other.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, Version,
    header::{CONNECTION, RETRY_AFTER, UPGRADE},
    request,
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use tower::{service_fn, util::BoxCloneService};

use crate::{
    input::{Answer, Handler, Outer, Run, Setup},
    naive,
    service::{self, Boxed, Event, Head, Log, Served, boxed},
    subject,
};

/// Makes the server that an input asks for.
pub fn server(setup: &Arc<Setup>, log: &Log) -> Served {
    let (setup, log) = (Arc::clone(setup), log.clone());
    BoxCloneService::new(service_fn(move |request: Request<Incoming>| {
        let (setup, log) = (Arc::clone(&setup), log.clone());
        async move { Ok::<_, Infallible>(answer(&setup, &log, request).await) }
    }))
}

async fn answer(setup: &Setup, log: &Log, request: Request<Incoming>) -> Response<Boxed> {
    let (mut head, body) = request.into_parts();
    let on_upgrade = head.extensions.get::<OnUpgrade>().cloned();
    let Some(on_upgrade) = on_upgrade.filter(|_| head.version == Version::HTTP_11) else {
        return forward(setup, log, head, body).await;
    };
    let Some((index, protocol)) = naive::choose(setup, &head) else {
        return forward(setup, log, head, body).await;
    };
    let Some(handler) = &setup.registrations[index].handler else {
        if setup.strip {
            strip(&mut head.headers);
            head.headers.insert(UPGRADE, HeaderValue::from_str(&protocol).unwrap());
            add_upgrade_option(&mut head.headers);
        }
        let (uri, version) = (head.uri.to_string(), head.version);
        let request = Request::from_parts(head, body);
        let response = service::inner(setup, log, request).await;
        if !setup.inner_agrees {
            return advertise(setup, version, false, response).map(boxed);
        }
        return match turned_away(setup, true) {
            Some(response) => response,
            // Nobody has checked its handshake.
            None if protocol == "websocket" => plain(500),
            None => switch(setup, log, on_upgrade, protocol, uri, setup.inner_run),
        };
    };
    if setup.full || setup.draining {
        let forwards = handler.optional || (setup.forward_at_capacity && !setup.draining);
        if forwards && !setup.required {
            return forward(setup, log, head, body).await;
        }
        let is_read = naive::length(&head.headers) == Some(0);
        return turned_away(setup, is_read).expect("no place");
    }
    head.extensions.remove::<OnUpgrade>();
    handshake(setup, log, (index, handler), (head, body), on_upgrade, protocol).await
}

async fn handshake(
    setup: &Setup,
    log: &Log,
    (index, handler): (usize, &Handler),
    (head, body): (request::Parts, Incoming),
    on_upgrade: OnUpgrade,
    protocol: String,
) -> Response<Boxed> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let body = match timeout_at(deadline, body.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_broken)) => return closing(400),
        Err(_late) => return closing(408),
    };
    if body.len() > handler.body_limit.into() {
        return closing(413);
    }
    let uri = head.uri.to_string();
    log.push(Event::Asked { index, head: Head::of(&head), body: body.to_vec() });
    if timeout_at(deadline, service::wait(handler.delay)).await.is_err() {
        return plain(503);
    }
    match handler.answer {
        Answer::Switch(run) => switch(setup, log, on_upgrade, protocol, uri, run),
        Answer::Panic => plain(500),
        Answer::Reject(status) => {
            let mut response = plain(if status.code() < 200 { 500 } else { status.code() });
            if status.code() == 426 {
                let headers = response.headers_mut();
                headers.insert(UPGRADE, HeaderValue::from_str(&protocol).unwrap());
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            }
            response
        }
    }
}

fn switch(
    setup: &Setup,
    log: &Log,
    on_upgrade: OnUpgrade,
    protocol: String,
    uri: String,
    run: Run,
) -> Response<Boxed> {
    if setup.outer == Outer::Replaces {
        return subject::replaced();
    }
    let mut response = plain(101);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_str(&protocol).unwrap());
    let log = log.clone();
    tokio::spawn(async move {
        if let Ok(io) = on_upgrade.await {
            drop(service::talk(run, log, protocol, uri, TokioIo::new(io)).await);
        }
    });
    response
}

async fn forward(
    setup: &Setup,
    log: &Log,
    mut head: request::Parts,
    body: Incoming,
) -> Response<Boxed> {
    let is_connect = head.method == "CONNECT";
    if setup.required {
        return demand(setup, &head, body.is_end_stream() && is_empty(&head));
    }
    if setup.strip {
        strip(&mut head.headers);
        head.extensions.remove::<OnUpgrade>();
    }
    let version = head.version;
    let response = service::inner(setup, log, Request::from_parts(head, body)).await;
    advertise(setup, version, is_connect, response).map(boxed)
}

fn is_empty(head: &request::Parts) -> bool {
    naive::length(&head.headers) == Some(0)
}

fn demand(setup: &Setup, head: &request::Parts, is_read: bool) -> Response<Boxed> {
    let is_connect = head.method == "CONNECT";
    let list = registered(setup);
    let mut response = match head.version {
        _ if list.is_empty() => plain(501),
        Version::HTTP_2 if is_connect => plain(501),
        Version::HTTP_2 if setup.extended_connect => plain(405),
        Version::HTTP_11 => {
            let mut response = plain(426);
            response.headers_mut().insert(UPGRADE, HeaderValue::from_str(&list).unwrap());
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            response
        }
        _ => plain(505),
    };
    if (!is_read || is_connect) && head.version != Version::HTTP_2 {
        response.headers_mut().append(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The names that clients may offer, each once.
fn registered(setup: &Setup) -> String {
    let mut list: Vec<&str> = Vec::new();
    for registration in &setup.registrations {
        let name = registration.pattern.0.trim_end_matches("/*");
        if !list.contains(&name) {
            list.push(name);
        }
    }
    list.join(", ")
}

fn advertise(
    setup: &Setup,
    version: Version,
    is_connect: bool,
    mut response: Response<Full<Bytes>>,
) -> Response<Full<Bytes>> {
    let list = registered(setup);
    if setup.advertise && version == Version::HTTP_11 && !is_connect && !list.is_empty() {
        response.headers_mut().insert(UPGRADE, HeaderValue::from_str(&list).unwrap());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

/// The response to an offer for which there is no place.
fn turned_away(setup: &Setup, is_read: bool) -> Option<Response<Boxed>> {
    if setup.draining {
        return Some(closing(503));
    }
    setup.full.then(|| {
        let mut response = if is_read { plain(503) } else { closing(503) };
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    })
}

/// Removes all that belongs to an upgrade.
fn strip(headers: &mut HeaderMap) {
    let mut kept = HeaderMap::new();
    for (name, value) in headers.iter() {
        if name == UPGRADE || name == "http2-settings" {
            continue;
        }
        let options: Vec<&[u8]> =
            value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
        let is_ours = |option: &&[u8]| {
            option.eq_ignore_ascii_case(b"upgrade")
                || option.eq_ignore_ascii_case(b"http2-settings")
        };
        if name != CONNECTION || !options.iter().any(is_ours) {
            kept.append(name, value.clone());
            continue;
        }
        let others: Vec<&[u8]> =
            options.into_iter().filter(|it| !it.is_empty() && !is_ours(it)).collect();
        if !others.is_empty() {
            kept.append(name, HeaderValue::from_bytes(&others.join(&b", "[..])).unwrap());
        }
    }
    *headers = kept;
}

/// Names `Upgrade` in `Connection`, first.
fn add_upgrade_option(headers: &mut HeaderMap) {
    let others: Vec<HeaderValue> = headers.get_all(CONNECTION).iter().cloned().collect();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    for value in others.into_iter().filter(|value| !value.as_bytes().trim_ascii().is_empty()) {
        headers.append(CONNECTION, value);
    }
}

fn closing(status: u16) -> Response<Boxed> {
    let mut response = plain(status);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn plain(status: u16) -> Response<Boxed> {
    let response = Response::builder().status(status);
    response.body(boxed(Full::default())).expect("a response")
}
