use super::*;
use crate::config::{Audio, Encode, Label, Reader, RtspTransport, SourceUrl};

fn source(url: &str, options: &[&str]) -> Source {
    Source {
        url: SourceUrl::new(url),
        input_options: options.iter().map(|&option| option.to_owned()).collect(),
        redirect_hosts: Vec::new(),
        reader: Reader::Auto,
        rtsp_transport: RtspTransport::Tcp,
        encode: None,
        amend_sps: true,
        audio: Audio::Auto,
        keep_running: false,
        sub: None,
        label: Label::default(),
    }
}

fn encoding(encoder: Encoder) -> Encoding {
    Encoding { encoder, vaapi_device: "/dev/dri/renderD128".to_owned() }
}

fn files(source: &Source, encoder: Encoder) -> Files {
    Confinement::of_source(source, &encoding(encoder), TcpAccess::Any).files
}

fn listed(read: &[&str], devices: &[&str]) -> Files {
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
    Files::Listed { read: paths(read), devices: paths(devices) }
}

#[test]
fn source_opens_its_own_file_and_no_other() {
    for (url, options, expected) in [
        ("rtsp://camera/a", &[][..], listed(&[], &[])),
        ("http://camera/a.mjpg", &["-f", "mjpeg", "-framerate", "12.5"], listed(&[], &[])),
        ("/etc/passwd", &["-stream_loop", "-1"], listed(&["/etc/passwd"], &[])),
        ("file:///etc/passwd", &[], listed(&["/etc/passwd"], &[])),
        ("http://camera/a", &["-user_agent", "Mozilla/5.0", "-f", "mpegts"], listed(&[], &[])),
        ("Cargo.toml", &["-f", "concat", "-safe", "0"], Files::Unlisted),
        ("/srv/*.jpg", &["-f", "image2", "-pattern_type", "glob"], Files::Unlisted),
        ("DeckLink Mini Recorder", &["-f", "decklink"], Files::Unlisted),
        ("http://camera/a", &["-hwaccel", "vaapi"], Files::Unlisted),
        ("image%03d.png", &[], listed(&["."], &[])),
        ("/dev/video0", &["-f", "v4l2"], listed(&[], &["/dev/video0"])),
        ("https://camera/a", &["-ca_file", "ca.pem"], Files::Unlisted),
        ("https://camera/a", &["-ca_file", "/etc/ca"], Files::Unlisted),
        ("testsrc2=s=64x36", &["-f", "lavfi"], Files::Unlisted),
    ] {
        assert_eq!(files(&source(url, options), Encoder::Libx264), expected, "{url} {options:?}");
    }
}

#[test]
fn encoder_in_hardware_opens_devices() {
    let encoded = Source { encode: Some(Encode::H264), ..source("http://camera/a", &[]) };
    assert_eq!(files(&encoded, Encoder::Libx264), listed(&[], &[]));
    assert_eq!(files(&encoded, Encoder::Vaapi), listed(&["/proc"], &["/dev"]));
    let transcode = Confinement::of_pipes(Some(&encoding(Encoder::Nvenc)));
    assert_eq!((transcode.files, transcode.network), (listed(&["/proc"], &["/dev"]), TcpAccess::None));
}

#[test]
fn launcher_reads_what_the_relay_writes() {
    let confinement =
        Confinement::of_source(&source("/srv/a \"b\".mp4", &[]), &encoding(Encoder::Libx264), TcpAccess::Proxy(9));
    let text = serde_json::to_string(&confinement).unwrap();
    assert_eq!(serde_json::from_str::<Confinement>(&text).unwrap(), confinement);
}
