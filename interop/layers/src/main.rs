//! Tries a switch under each stack of layers, and prints what became of it as Markdown.

mod harness;
mod rows;
mod stores;

use harness::{Column, Exchange, Subject};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    tokio::time::pause();
    for row in rows::all().into_iter().flat_map(|(_, rows)| rows) {
        let mut cells = Vec::new();
        for column in [Column::Without, Column::With] {
            for exchange in [Exchange::Plain, Exchange::Early, Exchange::Body, Exchange::WebSocket] {
                cells.push(exchange.run(column, &row.build, &Subject::ours()).await.to_string());
            }
            cells.push(Exchange::WebSocket.run(column, &row.build, &Subject::reference()).await.to_string());
        }
        println!("{} | {}", row.name, cells.join(" | "));
    }
}
