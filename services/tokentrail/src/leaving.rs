//! How the process ends.

use std::io::Write;

/// Ends the process at once, without the C library's last rites. What must be written is: the journal by its own syncs, standard error line by
/// line, standard output here.
///
/// Threads of librdkafka may still be at work, for a client that asks brokers which do not answer, or for one whose stop was cut. OpenSSL's part of
/// the rites takes away what those threads use, so that now and then a good stop would end by a signal.
pub fn leave(code: u8) -> ! {
    let _ = std::io::stdout().flush();
    signal_hook::low_level::exit(code.into())
}
