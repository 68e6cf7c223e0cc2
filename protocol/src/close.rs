//! WebSocket close codes. 4000 to 4999 is for applications (RFC 6455, section 7.4.2); ours are 4000 plus the HTTP
//! status that says the same, so that they can be read without a table.

/// The viewer sent something the protocol does not have. Repeating it will fail again.
pub const BAD_REQUEST: u16 = 4400;
/// The page that opened the socket is of an origin that the relay does not allow.
pub const FORBIDDEN: u16 = 4403;
/// No stream of that name is configured.
pub const UNKNOWN_STREAM: u16 = 4404;
/// The viewer did not read or acknowledge for too long.
pub const TOO_SLOW: u16 = 4408;
/// There are as many viewers as the relay's configuration allows, or the viewer says more than that allows.
pub const TOO_MANY: u16 = 4429;
/// The source restarted. A plain viewer reconnects to get the new init segment; `sightline.v1` never closes for it.
pub const SOURCE_RESTARTED: u16 = 4410;
/// The source is unavailable at the moment. The text before the close says why.
pub const UNAVAILABLE: u16 = 4503;
/// The relay is shutting down (RFC 6455, section 7.4.1: "going away").
pub const GOING_AWAY: u16 = 1001;
/// A message was larger than the relay takes (RFC 6455, section 7.4.1).
pub const TOO_BIG: u16 = 1009;
