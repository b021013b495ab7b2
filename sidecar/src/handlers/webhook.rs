//! Posts one event to a webhook: again after a pause when the fault may pass, and not for ever (`docs/rpc.md`,
//! Webhooks). The body of the answer to a query is our answer to the query.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::limits::{WEBHOOK_ANSWER_BYTES, WEBHOOK_ATTEMPT_LIMIT, WEBHOOK_ATTEMPTS, WEBHOOK_FIRST_PAUSE};
use super::spec::WebhookUrl;
use super::{Invocation, body, respond};
use crate::duration::GoDuration;
use crate::handle::NodeHandle;
use crate::net::go_errors::cause;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebhookError {
    /// Nobody is there.
    #[error("{}", cause(.0))]
    Connect(io::Error),
    /// What is there does not speak HTTP, or hangs up.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The request could not be made.
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    /// It took too long.
    #[error("no answer within {}", GoDuration::from(WEBHOOK_ATTEMPT_LIMIT))]
    Timeout,
    /// The server says no.
    #[error("answered {0}")]
    Status(StatusCode),
    /// The server took it, but what it says cannot be an answer to a query.
    #[error("its answer is longer than {WEBHOOK_ANSWER_BYTES} bytes, or broke off")]
    Answer,
}

impl WebhookError {
    /// Whether the same request may succeed later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Http(_) | Self::Timeout => true,
            Self::Request(_) | Self::Answer => false,
            Self::Status(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
        }
    }
}

/// Posts the event until it is taken, the attempts are used up, or nobody waits for the answer to the query.
///
/// # Errors
/// The last attempt's.
pub(super) async fn run(url: &WebhookUrl, invocation: &Invocation, node: &NodeHandle) -> Result<(), WebhookError> {
    let document = body::json(invocation);
    let mut pause = WEBHOOK_FIRST_PAUSE;
    let mut attempt: u32 = 1;
    loop {
        let posted = timeout(WEBHOOK_ATTEMPT_LIMIT, post(url, document.clone(), invocation)).await;
        let error = match posted.unwrap_or(Err(WebhookError::Timeout)) {
            Ok(answer) => {
                tracing::debug!(target: "agent", "Event '{}' was taken by webhook '{}'", invocation.kind(), url.text);
                if let Some(query) = invocation.query().filter(|_| !answer.is_empty()) {
                    respond(node, query, answer).await;
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let too_late = invocation.answer_by.is_some_and(|by| by <= Instant::now() + pause);
        if !error.may_pass() || attempt >= WEBHOOK_ATTEMPTS || too_late {
            return Err(error);
        }
        let next = GoDuration::from(pause);
        tracing::warn!(
            target: "agent",
            "Webhook '{}' failed (attempt {attempt} of {WEBHOOK_ATTEMPTS}), again in {next}: {error}", url.text
        );
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
        attempt = attempt.saturating_add(1);
    }
}

/// One attempt on a connection of its own. What the server answers, if it was asked something.
async fn post(url: &WebhookUrl, document: Bytes, invocation: &Invocation) -> Result<Bytes, WebhookError> {
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(WebhookError::Connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(&url.target)
        .header(HOST, &url.authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("folkmoot/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Full::new(document))?;
    let answered = async { read(sender.send_request(request).await?, invocation).await };
    let (answered, connection) = tokio::join!(answered, async {
        let ended = connection.await;
        ended.err()
    });
    match (answered, connection) {
        // The answer counts, however the connection ended.
        (Ok(answer), _) => Ok(answer),
        (Err(WebhookError::Http(error)), Some(connection)) if error.is_canceled() => Err(connection.into()),
        (Err(error), _) => Err(error),
    }
}

async fn read(response: Response<Incoming>, invocation: &Invocation) -> Result<Bytes, WebhookError> {
    let status = response.status();
    if !status.is_success() {
        return Err(WebhookError::Status(status));
    }
    if invocation.query().is_none() {
        return Ok(Bytes::new());
    }
    let body = Limited::new(response.into_body(), WEBHOOK_ANSWER_BYTES).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|_| WebhookError::Answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let may_pass = |code| WebhookError::Status(StatusCode::from_u16(code).unwrap()).may_pass();
        assert!([500, 502, 503, 408, 429].into_iter().all(may_pass));
        assert!(![301, 400, 401, 404, 410].into_iter().any(may_pass));
        assert!(WebhookError::Timeout.may_pass());
        assert!(!WebhookError::Answer.may_pass());
    }
}
