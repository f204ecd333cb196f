//! From a yes to the response that switches, and to the task that waits for the connection.

use std::sync::Arc;

use http::{
    Response, StatusCode,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use tokio::{sync::oneshot, time::Instant};

use super::{
    sent::{Connect, Departure},
    token::Token,
};
use crate::{
    connect,
    connections::{
        clock::Limits,
        fate::{Maker, Teller},
        run::{Promise, Promised},
        session::Session,
        task,
    },
    error::UpgradeErrorKind,
    handler::{rejection::OwnBody, switch::Switch},
    negotiation::{Mechanism, Offered},
};

/// The parts that are needed to switch a connection.
pub(crate) struct Switching {
    pub(crate) on_upgrade: OnUpgrade,
    /// The outermost layer's, if there is one.
    pub(crate) token: Option<Token>,
    pub(crate) mechanism: Mechanism,
    /// The layer's, for switches that have none of their own.
    pub(crate) limits: Limits,
    pub(crate) session: Arc<Session>,
}

impl Switching {
    /// Makes the 101, or the 200 to an extended CONNECT, and has the connection waited for.
    pub(super) fn to(
        self,
        switch: Switch,
        offer: &Offered,
        deadline: Instant,
    ) -> Response<OwnBody> {
        let Self { on_upgrade, token, mechanism, limits, session } = self;
        let limits = switch.limits(limits);
        let (mut headers, run) = match switch.into_parts(session.protocol(), offer) {
            Ok(parts) => parts,
            Err(error) => {
                session.failed(UpgradeErrorKind::Switch, Some(error.into()));
                return super::plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        let is_certain = token.is_some();
        // That of the exit: a layer may have put the token into a request of another connection.
        let on_upgrade = token.as_ref().map_or(on_upgrade, |token| token.on_upgrade.clone());
        let (promise, connect) = match mechanism {
            Mechanism::Upgrade => (Promise::Upgrade(on_upgrade), None),
            Mechanism::ExtendedConnect => {
                let (task, stream) = oneshot::channel();
                (Promise::Connect(stream), Some(Connect { on_upgrade, task }))
            }
        };
        let departure = Departure { teller: Teller::new(session.control()), connect };
        let status = departure.status();
        let body = if let Some(token) = token {
            // `into_parts` always names the protocols.
            let upgrade = headers[UPGRADE].clone();
            if mechanism == Mechanism::ExtendedConnect {
                headers.insert(connect::SWITCH, upgrade.clone());
            }
            token.register(upgrade, departure);
            OwnBody::empty()
        } else {
            departure.body(Maker::Layer, None)
        };
        if mechanism == Mechanism::ExtendedConnect {
            // RFC 9113 §8.2.2: HTTP/2 has neither.
            headers.remove(CONNECTION);
            headers.remove(UPGRADE);
        }
        // hyper hands over the connection only after it has written the response, so nobody could
        // wait for it here.
        task::spawn(run.on(Promised { session, promise, is_certain, deadline }, limits));
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}
