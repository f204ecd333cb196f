//! A backend and a store for session layers, and a middleware that has them save something.

use std::convert::Infallible;

use async_trait::async_trait;
use axum::{extract::Request, middleware::Next, response::Response};
use axum_login::{AuthUser, AuthnBackend};
use tower_sessions::{
    Session, SessionStore,
    session::{Id, Record},
    session_store::{Error, Result},
};

/// The only user there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User;

impl AuthUser for User {
    type Id = u8;

    fn id(&self) -> u8 {
        1
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"hash"
    }
}

/// A backend that knows the user.
#[derive(Clone, Debug)]
pub(crate) struct Backend;

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = ();
    type Error = Infallible;

    async fn authenticate(&self, (): ()) -> std::result::Result<Option<User>, Infallible> {
        Ok(Some(User))
    }

    async fn get_user(&self, _: &u8) -> std::result::Result<Option<User>, Infallible> {
        Ok(Some(User))
    }
}

/// A store that fails every call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Down;

impl Down {
    fn error() -> Error {
        Error::Backend("down".into())
    }
}

#[async_trait]
impl SessionStore for Down {
    async fn create(&self, _: &mut Record) -> Result<()> {
        Err(Self::error())
    }

    async fn save(&self, _: &Record) -> Result<()> {
        Err(Self::error())
    }

    async fn load(&self, _: &Id) -> Result<Option<Record>> {
        Err(Self::error())
    }

    async fn delete(&self, _: &Id) -> Result<()> {
        Err(Self::error())
    }
}

/// Sets a value that the session layer has to save.
pub(crate) async fn set_value(session: Session, request: Request, next: Next) -> Response {
    session.insert("row", 1_u8).await.ok();
    next.run(request).await
}
