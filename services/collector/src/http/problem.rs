//! Answers that are not 2xx: RFC 9457 problem details that say what is wrong and what to do, never what was sent.

use crate::metrics::Reason;
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};

/// Seconds after which a sender should try again.
const RETRY_SECONDS: u32 = 5;

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    pub(crate) reason: Reason,
    status: StatusCode,
    title: &'static str,
    detail: &'static str,
}

macro_rules! problems {
    ($($name:ident: $reason:ident $status:ident $title:literal $detail:literal;)+) => {
        $(pub(crate) const $name: Problem = Problem {
            reason: Reason::$reason, status: StatusCode::$status, title: $title, detail: $detail,
        };)+
    };
}

problems! {
    REFUSED: Unauthorized UNAUTHORIZED "not authorized"
        "The source is not known or the request does not prove that it comes from it. Check the source id in the path and the secret or token in the config of both sides.";
    NOT_FOUND: NotFound NOT_FOUND "no such path"
        "Post to /v1/keycloak/{source}, /v1/backstage/{source}, /v1/snapshot/backstage-catalog/{source} or /v1/close/{source}.";
    METHOD: Method METHOD_NOT_ALLOWED "method not allowed" "Only POST is taken here.";
    TOO_LARGE: TooLarge PAYLOAD_TOO_LARGE "body too large"
        "Send smaller batches; the limits, before and after inflating, are in the documentation of the source.";
    TOO_MANY: TooLarge PAYLOAD_TOO_LARGE "too many events or lines" "Nothing of it was kept. Send fewer events or lines in one request.";
    MEDIA_TYPE: MediaType UNSUPPORTED_MEDIA_TYPE "media type not supported"
        "Send JSON, NDJSON or plain text lines (a Loki shipper must send JSON, not protobuf).";
    CODING: MediaType UNSUPPORTED_MEDIA_TYPE "content encoding not supported" "Send identity, gzip or zstd.";
    BROKEN_CODING: Encoding BAD_REQUEST "broken content encoding" "The body is not of the content encoding that it names, or its transfer was cut.";
    // What the HTTP library refuses before there is a request.
    HEAD: Encoding BAD_REQUEST "broken request" "The head of the request is not one of HTTP/1.1 or HTTP/2.";
    LARGE_HEAD: TooLarge REQUEST_HEADER_FIELDS_TOO_LARGE "head too large" "Send fewer or shorter header fields: 16 KiB at most, in all.";
    VERSION: Encoding HTTP_VERSION_NOT_SUPPORTED "version of HTTP not supported" "Send HTTP/1.1 or HTTP/2.";
    // Not 408: shippers drop what they are told so of.
    TIMEOUT: Timeout SERVICE_UNAVAILABLE "body too slow" "The body did not arrive in time. Send it again after the time in Retry-After.";
    BUSY: Busy TOO_MANY_REQUESTS "too many requests at once" "Send again after the time in Retry-After, with fewer requests at once.";
    CONNECTIONS: Busy SERVICE_UNAVAILABLE "too many connections"
        "Send again after the time in Retry-After, over fewer connections at once. The bounds, in all and per address, are in the config of the collector.";
    FULL: Full SERVICE_UNAVAILABLE "no room in the journal" "Nothing was kept. Send again after the time in Retry-After.";
    FULL_BEFORE_THE_END: Full SERVICE_UNAVAILABLE "no room in the journal" "Not all of it was kept. Send all of it again after the time in Retry-After.";
    STOPPED: Stopped SERVICE_UNAVAILABLE "the journal has stopped" "Nothing can be kept until the collector is restarted. Send again later.";
    UNPROCESSABLE: Unprocessable UNPROCESSABLE_ENTITY "not a closing record"
        "Send {\"input\": one of webhook, lines, snapshot, import, \"watermark\": UTC milliseconds that are not in the future}.";
    CLAIM: Unprocessable UNPROCESSABLE_ENTITY "not a claim of this source"
        "A claim belongs to input import: {\"from\": ms, \"to\": a later ms, \"scopes\": [realms or instances], \"holds\": [user_events, admin_events of a Keycloak, lines of a Backstage]}.";
}

impl Problem {
    /// Of a request that the HTTP library refused by itself, by its status.
    pub(crate) fn of_head(status: &[u8]) -> Option<Self> {
        match status {
            b"400" => Some(HEAD),
            b"431" => Some(LARGE_HEAD),
            b"505" => Some(VERSION),
            _ => None,
        }
    }

    /// The answer as it goes over a connection that ends with it.
    pub(crate) fn last_words(self) -> Vec<u8> {
        let (status, body) = (self.status, self.body());
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn body(self) -> String {
        let body = serde_json::json!({
            "type": "about:blank", "title": self.title, "status": self.status.as_u16(), "detail": self.detail,
        });
        body.to_string()
    }

    /// The answer.
    pub fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
            }
            _ => {}
        }
        response
    }
}
