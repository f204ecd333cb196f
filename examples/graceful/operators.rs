//! Routes for operators: the list of connections, and a request that ends one of them.
//!
//! Anybody may ask here. In production, serve these routes on an address of their own.

use axum::{
    Router,
    extract::{Path, State},
    response::IntoResponse,
    routing::{delete, get},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use tower_upgrade::{Connection, Connections};

/// `GET /connections` and `DELETE /connections/{id}`.
pub(crate) fn routes() -> Router<Connections> {
    Router::new().route("/connections", get(list)).route("/connections/{id}", delete(drain))
}

/// A connection, as the list shows it.
#[derive(Serialize)]
struct Listed<'c> {
    id: u64,
    protocol: String,
    path: &'c str,
    #[serde(rename = "age_seconds")]
    age: f64,
    read: u64,
    written: u64,
    draining: bool,
}

impl<'c> From<&'c Connection> for Listed<'c> {
    fn from(connection: &'c Connection) -> Self {
        Self {
            id: connection.id(),
            protocol: connection.protocol().to_string(),
            path: connection.path(),
            age: connection.age().as_secs_f64(),
            read: connection.read(),
            written: connection.written(),
            draining: connection.is_draining(),
        }
    }
}

async fn list(State(connections): State<Connections>) -> impl IntoResponse {
    let mut connections = connections.list();
    connections.sort_by_key(Connection::id);
    let listed: Vec<Listed<'_>> = connections.iter().map(Into::into).collect();
    match serde_json::to_string(&listed) {
        Ok(json) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Tells one connection to end. Its handler says goodbye, and the client comes back.
async fn drain(State(connections): State<Connections>, Path(id): Path<u64>) -> StatusCode {
    match connections.get(id) {
        Some(connection) => {
            connection.drain();
            StatusCode::ACCEPTED
        }
        None => StatusCode::NOT_FOUND,
    }
}
