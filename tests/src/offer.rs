//! A browser's WHEP offer, reduced to the lines that the relay reads. Its viewer never connects.

/// The offer to receive these codecs, each in a section of its own: `opus` is audio, all others are video.
pub fn offer(codecs: &[&str]) -> String {
    let ice = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 {}\r\n\
         a=setup:actpass\r\na=recvonly\r\na=rtcp-mux\r\n",
        ["AB"; 32].join(":")
    );
    let section = |(mid, codec): (usize, &&str)| match *codec {
        "opus" => {
            format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{ice}a=mid:{mid}\r\na=rtpmap:111 opus/48000/2\r\n")
        }
        codec => format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n{ice}a=mid:{mid}\r\na=rtpmap:96 {codec}/90000\r\n"),
    };
    let sections: String = codecs.iter().enumerate().map(section).collect();
    let mids: String = (0..codecs.len()).map(|mid| format!(" {mid}")).collect();
    format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{mids}\r\n{sections}")
}
