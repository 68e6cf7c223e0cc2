//! WebSocket close codes. 4000 to 4999 is for applications (RFC 6455, section 7.4.2). The codes here are 4000 plus the HTTP
//! status with the same meaning, so that they need no table.

/// The viewer sent an invalid message. Repeating it will fail again.
pub const BAD_REQUEST: u16 = 4400;
/// The relay does not allow the page's origin.
pub const FORBIDDEN: u16 = 4403;
/// No such stream is configured.
pub const UNKNOWN_STREAM: u16 = 4404;
/// The viewer did not read or acknowledge for too long.
pub const TOO_SLOW: u16 = 4408;
/// A limit of viewers is reached, or the viewer sends more messages than its limit.
pub const TOO_MANY: u16 = 4429;
/// The source restarted. A plain viewer reconnects to get the new init segment; `sightline.v1` never closes for it.
pub const SOURCE_RESTARTED: u16 = 4410;
/// The source is unavailable. The text before the close gives the reason.
pub const UNAVAILABLE: u16 = 4503;
/// The relay is shutting down (RFC 6455, section 7.4.1: "going away").
pub const GOING_AWAY: u16 = 1001;
/// A message exceeds the relay's limit (RFC 6455, section 7.4.1).
pub const TOO_BIG: u16 = 1009;
