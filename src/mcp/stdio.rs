//! MCP on standard input and output: one client, for as long as it keeps them open.

use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::transport::stdio;
use tokio_util::sync::CancellationToken;

use super::assistant::Assistant;
use super::visitor::Visitor;
use crate::{Error, Result};

/// Serves until the client closes its end, or `stop`.
///
/// # Errors
/// What comes is no MCP.
pub async fn serve(visitor: Visitor, stop: CancellationToken) -> Result<()> {
    let visitor = Arc::new(visitor);
    let assistant = Assistant::new(Arc::clone(&visitor), stop.clone());
    let served = async {
        let service = assistant.serve_with_ct(stdio(), stop.clone()).await.map_err(|e| {
            Error::usage("standard input is no client of MCP")
                .with_source(e)
                .with_hint("a client starts this program and speaks to it: see ASSISTANTS.md")
        })?;
        service
            .waiting()
            .await
            .map(drop)
            .map_err(|e| Error::other("serving MCP ended early").with_source(e))
    };
    tokio::select! {
        served = served => served,
        () = visitor.dismissed() => {
            stop.cancel();
            Err(Error::usage("the token lets nobody in any more").with_hint("make another: odoo-eventd token create"))
        }
    }
}
