//! A token for a client whose wish for one nobody hears.
//!
//! librdkafka asks for a token by an event in its main queue. Consumers and producers read that queue when they are polled; rdkafka's admin
//! client reads only a queue of its own. So that one is given its token before it connects, and lives no longer than one question.
//! The one call is unsafe because rdkafka wraps it for clients that are polled alone.
#![allow(unsafe_code)]

use rdkafka::ClientContext;
use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::{Client, OAuthToken};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CString, c_char};
use std::ptr;

/// Room for librdkafka's reason, bytes.
const WHY: usize = 512;

/// Gives a client its token; the error says why it does not take it.
pub(super) fn give<C: ClientContext>(client: &Client<C>, token: OAuthToken) -> Result<(), String> {
    let text = |text: String| CString::new(text).map_err(|_| "a byte of the token is zero".to_owned());
    let (value, principal) = (text(token.token)?, text(token.principal_name)?);
    let mut why: [c_char; WHY] = [0; WHY];
    // SAFETY: the handle is that of `client`, which outlives the call. Both texts end with a zero and outlive it too; librdkafka copies
    // them. Extensions are none: a null pointer and their count, zero. Into `why` it writes no more than the length that it is told.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let said = why.iter().take_while(|byte| **byte != 0).map(|byte| byte.to_ne_bytes()[0]);
    Err(String::from_utf8_lossy(&said.collect::<Vec<u8>>()).into_owned())
}
