use sightline_media::nut::{SourceAudio, SourceCodec};
use sightline_protocol::message::Size;

use super::audio::AudioOutput;
use super::*;
use crate::config::{Audio, Label, Reader, SourceUrl};
use crate::hub::rendition::AudioForm;

fn source(url: &str) -> Source {
    Source {
        url: SourceUrl::new(url),
        input_options: Vec::new(),
        redirect_hosts: Vec::new(),
        reader: Reader::Ffmpeg,
        rtsp_transport: RtspTransport::default(),
        encode: None,
        amend_sps: true,
        audio: Audio::default(),
        keep_running: false,
        sub: None,
        label: Label::default(),
    }
}

fn encoding(encoder: Encoder) -> Encoding {
    Encoding { encoder, vaapi_device: "/dev/dri/renderD128".into() }
}

const AUDIO: SourceOptions = SourceOptions { audio: true, arrival_times: false, is_live: false };

fn read(source: &Source, silence: Duration, encoding: &Encoding, with: SourceOptions) -> Vec<String> {
    read_source(source, &source.url, silence, encoding, with)
}

/// One command a paragraph, for `commands.golden`.
fn commands() -> String {
    let silence = Duration::from_secs(10);
    let soft = encoding(Encoder::Libx264);
    let encoded = |encode| Source {
        input_options: ["-re", "-f", "lavfi"].map(str::to_owned).to_vec(),
        encode: Some(encode),
        ..source("testsrc2=s=640x360:r=25")
    };
    let udp = Source { rtsp_transport: RtspTransport::Udp, ..source("rtsp://10.0.0.2/a") };
    let mut all = vec![
        ("copy, RTSP over TCP", read(&source("rtsp://user:secret@10.0.0.2/a"), silence, &soft, AUDIO)),
        ("copy, RTSP over UDP", read(&udp, silence, &soft, AUDIO)),
        (
            "encoded H.264, JPEG over HTTP",
            read(&Source { encode: Some(Encode::H264), ..source("http://10.0.0.2/video.cgi") }, silence, &soft, AUDIO),
        ),
        ("copy, HLS", read(&source("https://10.0.0.2/a.m3u8"), silence, &soft, AUDIO)),
        ("copy, a description of RTP", read(&source("/srv/live.sdp"), silence, &soft, AUDIO)),
        (
            "copy, a named pipe",
            read(&source("/run/a.ts"), silence, &soft, SourceOptions { is_live: true, ..SourceOptions::default() }),
        ),
        ("copy without audio, a file", read(&source("/srv/loop.mp4"), silence, &soft, SourceOptions::default())),
        (
            "copy, a camera without a clock",
            read(
                &source("rtsp://10.0.0.2/a"),
                silence,
                &soft,
                SourceOptions { arrival_times: true, ..Default::default() },
            ),
        ),
        ("encoded H.264", read(&encoded(Encode::H264), silence, &soft, AUDIO)),
        ("encoded H.265 without audio", read(&encoded(Encode::H265), silence, &soft, SourceOptions::default())),
    ];
    let as_is = AudioOutput { form: AudioForm::AsIs, encode: false };
    let opus = AudioOutput { form: AudioForm::Opus, encode: false };
    for (name, codec, channels, output) in [
        ("audio, AAC", SourceCodec::Aac, 1, as_is),
        ("audio, Opus", SourceCodec::Opus, 2, as_is),
        ("audio, G.711", SourceCodec::Other("G.711 A-law".into()), 1, as_is),
        ("audio, AAC with six channels, encoded", SourceCodec::Aac, 6, AudioOutput { encode: true, ..as_is }),
        ("audio for WebRTC, Opus", SourceCodec::Opus, 2, opus),
        ("audio for WebRTC, Opus, encoded", SourceCodec::Opus, 2, AudioOutput { encode: true, ..opus }),
        ("audio for WebRTC, Opus with six channels", SourceCodec::Opus, 6, opus),
        ("audio for WebRTC, AAC", SourceCodec::Aac, 1, opus),
        ("audio for WebRTC, G.711", SourceCodec::Other("G.711 A-law".into()), 1, opus),
    ] {
        all.push((name, audio::convert(&SourceAudio { codec, sample_rate: 8000, channels }, output)));
    }
    for (name, encoder) in [
        ("transcode, libx264", Encoder::Libx264),
        ("transcode, VAAPI", Encoder::Vaapi),
        ("transcode, NVENC", Encoder::Nvenc),
        ("transcode, V4L2 M2M", Encoder::V4l2m2m),
        ("transcode, VideoToolbox", Encoder::Videotoolbox),
    ] {
        all.push((name, transcode(&encoding(encoder), None)));
    }
    let low = LowVariant::of(Size { width: 1920, height: 1080 }, 400);
    for (name, encoder) in [
        ("low, libx264", Encoder::Libx264),
        ("low, VAAPI", Encoder::Vaapi),
        ("low, NVENC", Encoder::Nvenc),
        ("low, V4L2 M2M", Encoder::V4l2m2m),
        ("low, VideoToolbox", Encoder::Videotoolbox),
    ] {
        all.push((name, transcode(&encoding(encoder), Some(low))));
    }
    all.push(("still", still::still(still::StillFormat { width: Some(640), quality: 80 }, 3)));
    all.iter().map(|(name, args)| format!("# {name}\nffmpeg {}\n\n", args.join(" "))).collect()
}

/// A change of a command line shows as a change of `commands.golden`; `UPDATE_GOLDEN=1 cargo test` rewrites it.
#[test]
fn command_lines_match_golden_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ingest/ffmpeg/commands.golden");
    let commands = commands();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &commands).unwrap();
    }
    assert_eq!(commands, std::fs::read_to_string(path).unwrap());
}

#[test]
fn releases_and_git_builds_are_distinguished() {
    let judged = |line: &str| version(line).map(is_old);
    assert_eq!(judged("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026"), Some(false));
    assert_eq!(judged("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright"), Some(true));
    assert_eq!(judged("ffmpeg version 5.0 Copyright"), Some(true));
    assert_eq!(judged("ffmpeg version n7.1-12-gabc Copyright"), Some(false));
    assert_eq!(judged("ffmpeg version N-109542-g0b6fc1e Copyright"), Some(false));
    assert_eq!(judged("GNU bash, version 5.2"), None);
}

#[test]
fn only_jpeg_over_http_has_no_clock() {
    let encoded = |url: &str, options: &[&str]| Source {
        encode: Some(Encode::H264),
        input_options: options.iter().map(|&option| option.to_owned()).collect(),
        ..source(url)
    };
    for (url, options, expected) in [
        ("http://cam/video.cgi?fps=5", &[][..], true),
        ("https://cam/mjpg/video.mjpg", &[], true),
        ("tcp://cam:9000", &["-f", "mjpeg"], true),
        ("http://cam:8080/?action=stream", &[], true),
        ("http://tuner:5004/auto/v5.1", &[], false),
        ("http://cam/live.flv", &[], false),
        ("http://cam/live.m3u8?a", &[], false),
        ("http://cam/live", &["-f", "mpegts"], false),
        ("rtsp://cam/a", &[], false),
        ("/dev/video0", &["-f", "v4l2"], false),
    ] {
        assert_eq!(has_no_clock(&encoded(url, options)), expected, "{url}");
    }
    assert!(!has_no_clock(&source("http://cam/live")), "nothing without times can be copied");
}
