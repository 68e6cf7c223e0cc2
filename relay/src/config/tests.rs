use super::*;

fn parse(text: &str) -> Result<Config, String> {
    let file = File::parse(text).map_err(|(line, message)| format!("{line}: {message}"))?;
    file.resolve()
}

#[test]
fn a_password_is_read_beside_the_configuration_and_never_printed() {
    let folder = std::env::temp_dir().join(format!("sightline-password-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("relay.toml");
    std::fs::write(&path, "access.password_file = \"secret\"\n[streams.a]\nsource = \"x\"\n").unwrap();
    for (text, remedy) in [("", "first line is empty"), ("\nsecond", "first line is empty")] {
        std::fs::write(folder.join("secret"), text).unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.contains(remedy) && error.contains("secret"), "{error}");
    }
    std::fs::write(folder.join("secret"), "open sesame \nnot this").unwrap();
    let config = Config::read(&path).unwrap();
    assert_eq!(config.password, Some(Password::new("open sesame ".to_owned())));
    assert!(!format!("{config:?}").contains("sesame"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_demo_has_five_streams_three_of_them_h265() {
    let demo = Config::demo();
    let names: Vec<&str> = demo.streams.keys().map(StreamName::as_str).collect();
    assert_eq!(names, ["cam0", "cam1", "cam2", "cam3", "mixer_program"]);
    let encoded = |codec| demo.streams.values().filter(|source| source.encode == Some(codec)).count();
    assert!(encoded(Encode::H265) >= 3 && encoded(Encode::H264) >= 1);
}

#[test]
fn one_source_is_a_whole_configuration() {
    let config = parse("[streams.cam0]\nsource = \"rtsp://127.0.0.1:8554/cam0\"").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.linger, config.silence), (Duration::from_secs(10), Duration::from_secs(10)));
    assert!(config.low, "streams have a light variant unless it is turned off");
    let source = &config.streams[0];
    assert_eq!((source.rtsp_transport, source.encode), (RtspTransport::Tcp, None));
    assert!(source.amend_sps);
    assert_eq!(source.audio, Audio::Auto, "sound is there for those who want it");
}

#[test]
fn parameter_sets_can_be_left_untouched() {
    let config = parse(
        "[streams.a]\nsource = \"x\"\namend_sps = false\n[mediamtx]\nsource = \"{stream}\"\nstreams = [\"b\"]\namend_sps = false",
    )
    .unwrap();
    assert!(config.streams.values().all(|source| !source.amend_sps));
}

#[test]
fn streams_run_for_viewers_unless_they_are_kept_running() {
    let text = "[streams.a]\nsource = \"x\"\n[streams.b]\nsource = \"y\"\nkeep_running = true\n[mediamtx]\nsource = \"{stream}\"\nstreams = [\"c\"]\nkeep_running = true";
    let kept: Vec<bool> = parse(text).unwrap().streams.values().map(|source| source.keep_running).collect();
    assert_eq!(kept, [false, true, true]);
}

#[test]
fn audio_is_a_choice_of_each_stream() {
    let text = "[streams.yard]\nsource = \"x\"\naudio = \"aac\"\n[mediamtx]\nsource = \"{stream}\"\nstreams = [\"a\"]\naudio = \"off\"";
    let config = parse(text).unwrap();
    assert_eq!((config.streams[0].audio, config.streams[1].audio), (Audio::Aac, Audio::Off));
}

#[test]
fn what_the_relay_reads_itself_is_rtsp_over_tcp() {
    let config = parse(
        "[streams.a]\nsource = \"rtsp://c/a\"\nreader = \"direct\"\n[streams.b]\nsource = \"rtsp://c/b\"\n\
         [mediamtx]\nsource = \"rtsp://m/{stream}\"\nstreams = [\"c\"]\nreader = \"direct\"",
    )
    .unwrap();
    let read = |name: usize| config.streams[name].reader;
    assert_eq!([0, 1, 2].map(read), [Reader::Direct, Reader::Auto, Reader::Direct]);
    for (source, more, says) in [
        ("/dev/video0", "", "rtsp:// sources only"),
        ("rtsps://c/a", "", "rtsp:// sources only"),
        ("rtsp://c/a", "rtsp_transport = \"udp\"", "over TCP only"),
        ("rtsp://c/a", "encode = \"h264\"", "takes no FFmpeg"),
        ("rtsp://c/a", "input_options = [\"-re\"]", "takes no FFmpeg"),
    ] {
        let error = parse(&format!("[streams.a]\nsource = \"{source}\"\nreader = \"direct\"\n{more}")).unwrap_err();
        assert!(error.contains(says) && error.contains("stream a"), "{error}");
    }
}

#[test]
fn webrtc_is_there_unless_it_is_turned_off() {
    let config = parse("[streams.a]\nsource = \"x\"").unwrap();
    assert_eq!(config.webrtc, Webrtc::default());
    assert!(config.webrtc.enabled && config.webrtc.udp && config.webrtc.tcp);
    let text = r#"
        [streams.a]
        source = "x"
        [webrtc]
        listen = "0.0.0.0:4000"
        tcp = false
        candidates = ["203.0.113.7", "203.0.113.8:5000", "[2001:db8::1]:6000", "2001:db8::2"]
        ice_servers = [
            { url = "stun:stun.example.org" },
            { url = "turn:turn.example.org:3478?transport=tcp", username = "u", credential = "p" },
        ]
    "#;
    let webrtc = parse(text).unwrap().webrtc;
    assert_eq!(webrtc.listen, Some("0.0.0.0:4000".parse().unwrap()));
    assert!(webrtc.udp && !webrtc.tcp);
    assert_eq!(webrtc.candidates.iter().map(|at| at.port).collect::<Vec<_>>(), [None, Some(5000), Some(6000), None]);
    assert_eq!(webrtc.ice_servers[1].credential.as_deref(), Some("p"));
    assert!(!parse("[streams.a]\nsource = \"x\"\n[webrtc]\nenabled = false").unwrap().webrtc.enabled);
}

#[test]
fn stream_names_are_paths() {
    let config = parse(
        "[streams.\"site/cam 1/ü\"]\nsource = \"x\"\n[mediamtx]\nsource = \"rtsp://m/{stream}\"\nstreams = [\"site/cam 2/ü\"]",
    )
    .unwrap();
    let all: Vec<_> = config.streams.iter().map(|(name, source)| (name.as_str(), source.url.reveal())).collect();
    assert_eq!(all, [("site/cam 1/ü", "x"), ("site/cam 2/ü", "rtsp://m/site/cam%202/%C3%BC")]);
}

#[test]
fn refused_stream_name_is_told_with_its_line() {
    for (name, says) in [
        ("", "is empty"),
        ("a//b", "contains //"),
        ("/a", "begins with /"),
        ("a/", "ends with /"),
        ("a/../b", "segment .."),
        ("a%2Fb", "contains %"),
        ("a\\\\b", "backslash"),
        ("a\\u0007", "U+0007"),
        ("a\\u202E", "U+202E"),
        ("a*", "stands for any text"),
    ] {
        let error = parse(&format!("# {name}\n[streams.\"{name}\"]\nsource = \"x\"")).unwrap_err();
        assert!(error.starts_with("2: stream name ") && error.contains(says), "{name}: {error}");
        let pattern = format!("[mediamtx]\nsource = \"{{stream}}\"\nstreams = [\"{name}\"]");
        let error = parse(&pattern).unwrap_err();
        assert!(error.starts_with("3: stream name ") && error.contains(says), "{name}: {error}");
    }
}

#[test]
fn two_spellings_of_one_stream_name_are_refused() {
    let text = "[streams.\"ü\"]\nsource = \"x\"\n[streams.\"u\u{308}\"]\nsource = \"y\"";
    let error = parse(text).unwrap_err();
    assert!(error.contains("appears twice"), "{error}");
    assert_eq!(parse(text.split_once("[streams.\"u\u{308}").unwrap().0).unwrap().streams.len(), 1);
}

#[test]
fn a_pattern_stands_for_many_streams() {
    let config = parse(
        "[mediamtx]\nsource = \"rtsp://127.0.0.1:8554/{stream}\"\nstreams = [\"b\", \"a\"]\n[streams.yard]\nsource = \"x\"",
    )
    .unwrap();
    let all: Vec<_> = config.streams.iter().map(|(name, source)| (name.as_str(), source.url.reveal())).collect();
    assert_eq!(all, [("yard", "x"), ("b", "rtsp://127.0.0.1:8554/b"), ("a", "rtsp://127.0.0.1:8554/a")]);
}

#[test]
fn mistakes_are_named() {
    let error = |text: &str| parse(text).unwrap_err();
    for (text, named) in [
        ("", "names no stream"),
        ("[streams.cam0]\nsorce = \"x\"", "2: unknown field `sorce`"),
        ("lisen = \"127.0.0.1:1\"", "unknown field `lisen`"),
        ("[streams.\"a//b\"]\nsource = \"x\"", "1: stream name \"a//b\" contains //; write"),
        ("[streams.a]\nsource = \"\"", "source of stream a is empty"),
        ("[mediamtx]\nsource = \"rtsp://h/x\"\nstreams = [\"a\"]", "has no {stream}"),
        (
            "[mediamtx]\nsource = \"{stream}\"\nstreams = [\"a\"]\n[streams.a]\nsource = \"x\"",
            "stream a is in [mediamtx] and",
        ),
        ("[streams.a]\nsource = \"x\"\n[ingest]\nsilence_seconds = 0", "ingest.silence_seconds = 0 is out of range"),
        ("[streams.a]\nsource = \"x\"\n[ingest]\nlow_kbps = 10", "ingest.low_kbps = 10 is out of range: 50 to 5000"),
        ("[streams.a]\nsource = \"x\"\nencode = \"vp9\"", "unknown variant `vp9`"),
        ("[streams.a]\nsource = \"x\"\n[access]\nrevoked = [\"\"]", "access.revoked has an empty id"),
        (
            "[streams.a]\nsource = \"x\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"\nhsts_seconds = 99999999",
            "tls.hsts_seconds = 99999999 is out of range",
        ),
        ("listen = 8080", "1: listen: 8080 is not an address with a port, such as \"127.0.0.1:8080\""),
        ("listen = [\":8080\"]", "1: listen: invalid type: sequence, expected an address with a port, such as"),
        ("[streams.a]\nsource = \"x\"\n[metrics]\nlisten = \"9100\"", "4: metrics.listen: \"9100\" is not an address"),
        ("[streams.a]\nsource = \"x\"\n[webrtc]\nudp = false\ntcp = false", "say enabled = false"),
        ("[streams.a]\nsource = \"x\"\n[webrtc]\nlisten = \"cams:8190\"", "4: webrtc.listen: \"cams:8190\" is not an"),
        ("[access]\nopen = \"yes\"", "2: access.open: invalid type: a text, expected a boolean"),
        ("[streams.a]\nencode = \"h264\"", "1: streams.a: missing field `source`"),
        ("[streams.a]\nsource = \"u:s3cret@192.0.2.1/a\"", "source of stream a has no scheme; write rtsp://"),
        ("[streams.a]\nsource = \"rtsp://u:1#2@192.0.2.1/a\"", "'#', which ends it; write %23"),
        ("[streams.a]\nsource = \"x\"\ntitle = \"\"", "3: streams.a.title: the text is empty"),
        ("[streams.a]\nsource = \"x${HOME}\"", "2: streams.a.source: "),
        ("[streams.a]\nsource = \"x\"\n[webrtc]\ncandidates = [\"cams.example.org\"]", "is not an IP address such as"),
        ("[streams.a]\nsource = \"x\"\n[webrtc]\ncandidates = [\"0.0.0.0\"]", "which nobody can reach"),
        (
            "[streams.a]\nsource = \"x\"\n[[webrtc.ice_servers]]\nurl = \"http://h\"",
            "is not an address such as \"stun:",
        ),
        ("[streams.a]\nsource = \"x\"\n[[webrtc.ice_servers]]\nurl = \"turn:h\"", "needs a username and a credential"),
    ] {
        assert!(error(text).contains(named), "{text:?}: {}", error(text));
    }
}

#[test]
fn addresses_to_listen_on_may_lack_their_host() {
    let text = "listen = \":8080\"\n[metrics]\nlisten = \"localhost:9100\"\n[webrtc]\nlisten = \":8190\"\n\
                [streams.a]\nsource = \"x\"";
    let config = parse(text).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.metrics_listen, Some("127.0.0.1:9100".parse().unwrap()));
    assert_eq!(config.webrtc.listen, Some("0.0.0.0:8190".parse().unwrap()));
}

#[test]
fn title_and_group_do_not_change_how_a_source_is_read() {
    let text = "[streams.a]\nsource = \"x\"\ntitle = \"Front door\"\ngroup = \"House\"\n\
                [mediamtx]\nsource = \"rtsp://m/{stream}\"\nstreams = [\"b\"]\ngroup = \"Barn\"";
    let config = parse(text).unwrap();
    let label = |n: usize| (config.streams[n].label.title.as_deref(), config.streams[n].label.group.as_deref());
    assert_eq!((label(0), label(1)), ((Some("Front door"), Some("House")), (None, Some("Barn"))));
    let plain = parse("[streams.a]\nsource = \"x\"").unwrap();
    assert!(config.streams[0].reads_as(&plain.streams[0]) && config.streams[0] != plain.streams[0]);
    assert!(!config.streams[0].reads_as(&config.streams[1]));
}

#[test]
fn secrets_are_read_beside_the_configuration_and_no_error_or_debug_output_shows_them() {
    let folder = std::env::temp_dir().join(format!("sightline-secrets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("cam"), "S3cret\n").unwrap();
    let read = |text: &str| {
        let path = folder.join("relay.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| error.to_string())
    };
    let config = read(
        "[streams.a]\nsource = \"rtsp://u:${file:cam}@c/a\"\nsub = \"rtsp://u:${file:cam}@c/b\"\n\
         [[webrtc.ice_servers]]\nurl = \"turn:a\"\nusername = \"u\"\ncredential = \"${file:cam}\"",
    )
    .unwrap();
    assert_eq!(config.streams[0].url.reveal(), "rtsp://u:S3cret@c/a");
    assert_eq!(config.webrtc.ice_servers[0].credential.as_deref(), Some("S3cret"));
    assert!(!format!("{config:?}").contains("S3cret"), "{config:?}");
    for (text, says) in [
        ("[oidc]\nissuer = \"a\"\naudience = \"a\"\nkeys = \"ftp://${file:cam}\"", "ftp://${file:cam}"),
        ("listen = \"${file:cam}\"", "line 1 of the configuration"),
        ("listen = \"${file:cam}\"", "listen: \"${file:cam}\" is not an address"),
        ("access_log = \"${file:cam}\"", "access_log: invalid type"),
        ("ffmpeg = \"${file:gone}\"", "ffmpeg: the file"),
        ("ffmpeg = \"${SIGHTLINE_NOT_SET}\"", "ffmpeg: the environment variable SIGHTLINE_NOT_SET is not set"),
    ] {
        let error = read(&format!("{text}\n[streams.a]\nsource = \"x\"")).unwrap_err();
        assert!(error.contains(says) && !error.contains("S3cret"), "{text}: {error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A message may quote the wrong line or value, which may contain a password.
#[test]
fn an_error_never_quotes_a_source() {
    for text in [
        "[streams.a]\nsource = \"rtsp://u:secret@h/\" x",
        "[streams]\na = \"rtsp://u:secret@h/\"",
        "mediamtx = \"rtsp://u:se\\\"cret@h/\"",
        "[streams.a]\nsource = \"x\"\ninput_options = \"rtsp://u:secret@h/\"",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!error.contains("cret"), "{error}");
    }
}

#[test]
fn sub_stream_is_read_as_its_main_stream_without_audio() {
    let text = "[streams.a]\nsource = \"rtsp://c/main\"\nsub = \"rtsp://c/sub\"\nreader = \"direct\"\nkeep_running = true\n\
                [mediamtx]\nsource = \"rtsp://m/{stream}\"\nsub = \"rtsp://m/{stream}_sub\"\nstreams = [\"b\"]";
    let config = parse(text).unwrap();
    let sub = |stream: usize| config.streams[stream].of_sub().unwrap();
    assert_eq!(sub(0).url, SourceUrl::new("rtsp://c/sub"));
    assert_eq!((sub(0).reader, sub(0).audio, sub(0).keep_running), (Reader::Direct, Audio::Off, false));
    assert_eq!(sub(1).url, SourceUrl::new("rtsp://m/b_sub"));
    for (sub, says) in [
        ("", "the sub stream of stream a is empty"),
        ("rtsp://admin:p#ss@c/a", "%23"),
        ("/dev/video0", "rtsp:// sources only"),
    ] {
        let text = format!("[streams.a]\nsource = \"rtsp://c/a\"\nreader = \"direct\"\nsub = \"{sub}\"");
        let error = parse(&text).unwrap_err();
        assert!(error.contains(says) && error.contains("stream a"), "{error}");
    }
    let text = "[mediamtx]\nsource = \"rtsp://m/{stream}\"\nsub = \"rtsp://m/sub\"\nstreams = [\"b\"]";
    assert!(parse(text).unwrap_err().contains("mediamtx.sub has no {stream}"));
}
