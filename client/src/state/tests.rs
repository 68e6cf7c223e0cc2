use sightline_protocol::message::Size;

use super::*;

fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// The page at an address.
fn open(path: &str, parameters: &[(&str, &str)]) -> App {
    let parameters = parameters.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    App::new(Request::read(path, parameters), Settings::default(), Abilities::default())
}

/// A page that has loaded a catalogue of these streams.
fn listing(names: &[&str]) -> App {
    let mut app = open("/", &[]);
    app.apply(catalogue(names), 0.0);
    app
}

fn catalogue(names: &[&str]) -> Event {
    catalogue_of(VERSION, SUBPROTOCOL, names)
}

fn catalogue_of(version: &str, protocol: &str, names: &[&str]) -> Event {
    let stream = |n: &&str| format!(r#"{{"name":"{n}","state":{{"state":"idle"}},"variants":[]}}"#);
    let streams: Vec<_> = names.iter().map(stream).collect();
    let json = format!(r#"{{"version":"{version}","protocols":["{protocol}"],"streams":[{}]}}"#, streams.join(","));
    Event::Catalogue(serde_json::from_str(&json).unwrap())
}

fn names(app: &App) -> Vec<&str> {
    app.tiles.iter().map(|tile| tile.name.as_str()).collect()
}

/// Connects a tile.
fn enliven(app: &mut App, stream: &str) {
    for event in [TileEvent::Connecting, TileEvent::Connected] {
        app.apply(Event::Tile(name(stream), event), 0.0);
    }
}

#[test]
fn catalogue_fills_a_page_without_named_streams() {
    let mut app = open("/", &[]);
    app.apply(Event::CatalogueFailed, 0.0);
    assert!(app.notice.as_ref().unwrap().contains("cannot be reached"));
    app.apply(catalogue(&["cam0", "cam1"]), 0.0);
    assert_eq!((names(&app), &app.notice), (vec!["cam0", "cam1"], &None));
    assert!(listing(&[]).notice.unwrap().contains("[streams]"));
}

#[test]
fn catalogue_change_keeps_the_remaining_tiles() {
    let mut app = listing(&["gate", "yard"]);
    enliven(&mut app, "yard");
    app.apply(catalogue(&["yard", "door"]), 0.0);
    assert_eq!((names(&app), app.tiles[0].phase()), (vec!["yard", "door"], Phase::Starting));
    app.apply(Event::CatalogueFailed, 0.0);
    assert_eq!((names(&app), &app.notice), (vec!["yard", "door"], &None), "a relay that restarts takes no tile away");
    app.apply(catalogue(&[]), 0.0);
    assert!(app.tiles.is_empty() && app.notice.is_some());

    let mut app = open("/", &[("stream", "yard")]);
    app.apply(catalogue(&["gate"]), 0.0);
    assert_eq!(names(&app), ["yard"], "the address says which");
}

#[test]
fn unchanged_tile_is_the_same_object() {
    let mut app = listing(&["gate", "yard"]);
    let before = app.tiles.clone();
    enliven(&mut app, "yard");
    app.apply(catalogue(&["gate", "yard"]), 0.0);
    assert!(Rc::ptr_eq(&before[0], &app.tiles[0]), "it would be drawn for nothing");
    assert!(!Rc::ptr_eq(&before[1], &app.tiles[1]));
}

#[test]
fn solo_tile_fills_the_window_until_left_or_removed() {
    let mut app = listing(&["gate", "yard"]);
    let mut solo = |event| {
        app.apply(event, 0.0);
        app.solo.clone()
    };
    let yard = || Event::Solo("yard".into());
    assert_eq!(solo(yard()).as_deref(), Some("yard"));
    assert_eq!(solo(yard()), None);
    assert_eq!(solo(yard()).as_deref(), Some("yard"));
    assert_eq!(solo(Event::Back), None);
    assert_eq!(solo(yard()).as_deref(), Some("yard"));
    assert_eq!(solo(catalogue(&["gate"])), None);
}

#[test]
fn order_is_kept_for_absent_streams() {
    let mut app = listing(&["a", "b", "c", "d"]);
    app.apply(Event::Move("d".into(), "a".into()), 0.0);
    assert_eq!(names(&app), ["d", "a", "b", "c"]);
    app.apply(Event::Move("d".into(), "b".into()), 0.0);
    assert_eq!(names(&app), ["a", "b", "d", "c"]);
    app.apply(catalogue(&["a", "b", "c"]), 0.0);
    app.apply(Event::Move("c".into(), "a".into()), 0.0);
    assert_eq!(names(&app), ["c", "a", "b"]);
    app.apply(catalogue(&["a", "b", "new", "c", "d"]), 0.0);
    assert_eq!(names(&app), ["c", "a", "b", "d", "new"]);
    app.apply(Event::Move("c".into(), "nowhere".into()), 0.0);
    assert_eq!(names(&app), ["c", "a", "b", "d", "new"]);
}

#[test]
fn order_of_streams_named_in_the_address_is_not_stored() {
    let mut app = open("/", &[("stream", "a"), ("stream", "b")]);
    app.apply(Event::Move("b".into(), "a".into()), 0.0);
    assert_eq!((names(&app), app.settings.order.len()), (vec!["b", "a"], 0));
}

#[test]
fn protocol_is_selected_for_all_or_one_stream() {
    let mut app = listing(&["a", "b"]);
    let protocols = |app: &App| app.tiles.iter().map(|tile| tile.protocol).collect::<Vec<_>>();
    assert_eq!(protocols(&app), [Protocol::Auto; 2]);
    app.apply(Event::Choose(Choice::Protocol(Protocol::Hls)), 0.0);
    app.apply(Event::Choose(Choice::StreamProtocol("b".into(), Some(Protocol::Mse))), 0.0);
    assert_eq!(protocols(&app), [Protocol::Hls, Protocol::Mse]);
    app.apply(Event::Choose(Choice::StreamProtocol("b".into(), None)), 0.0);
    assert_eq!(protocols(&app), [Protocol::Hls; 2]);
    app.apply(catalogue(&["a", "b", "c"]), 0.0);
    assert_eq!(protocols(&app), [Protocol::Hls; 3], "also those that come later");
}

#[test]
fn quality_is_selected_for_all_or_one_stream() {
    let mut app = listing(&["a", "b"]);
    let qualities = |app: &App| app.tiles.iter().map(|tile| tile.quality).collect::<Vec<_>>();
    assert_eq!(qualities(&app), [Quality::Auto; 2]);
    app.apply(Event::Choose(Choice::Quality(Quality::Low)), 0.0);
    app.apply(Event::Choose(Choice::StreamQuality("b".into(), Some(Quality::High))), 0.0);
    assert_eq!((app.quality(), qualities(&app)), (Quality::Low, vec![Quality::Low, Quality::High]));
    let kept = Settings::read(&app.settings.to_json());
    assert_eq!([kept.quality_of("a"), kept.quality_of("b")], [Quality::Low, Quality::High]);
    app.apply(Event::Choose(Choice::StreamQuality("b".into(), None)), 0.0);
    app.apply(catalogue(&["a", "b", "c"]), 0.0);
    assert_eq!(qualities(&app), [Quality::Low; 3], "also those that come later");
}

#[test]
fn quality_of_the_address_applies_until_the_user_selects() {
    let mut app = open("/", &[("stream", "a"), ("quality", "low")]);
    assert_eq!((app.tiles[0].quality, app.settings.quality), (Quality::Low, Quality::Auto));
    app.apply(Event::Choose(Choice::StreamQuality("a".into(), Some(Quality::High))), 0.0);
    assert_eq!((app.tiles[0].quality, app.quality()), (Quality::High, Quality::Auto));

    let app = open("/", &[("stream", "a"), ("codec", "low")]);
    assert_eq!((app.quality(), app.tiles[0].quality, app.choice), (Quality::Low, Quality::Low, VariantChoice::Auto));

    let mut app = open("/test", &[("stream", "a"), ("quality", "high")]);
    app.apply(Event::Test(TestEvent::Start), 0.0);
    assert_eq!(app.tiles[0].quality, Quality::High);
    app.apply(Event::Test(TestEvent::Quality(Quality::Low)), 0.0);
    assert_eq!((app.tiles[0].quality, app.test.run), (Quality::Low, 1), "without another player");
}

#[test]
fn address_applies_until_the_user_selects() {
    let mut app = open("/", &[("stream", "a"), ("protocol", "hls"), ("layout", "2"), ("controls", "none")]);
    assert_eq!((app.protocol(), app.layout(), app.controls), (Protocol::Hls, Layout::Columns(2), false));
    assert_eq!(app.settings, Settings::default(), "a kiosk's address changes nothing that is kept");
    assert_eq!(app.tiles[0].protocol, Protocol::Hls);
    app.apply(Event::Choose(Choice::Protocol(Protocol::Mse)), 0.0);
    app.apply(Event::Choose(Choice::Layout(Layout::Focus)), 0.0);
    assert_eq!((app.protocol(), app.layout(), app.tiles[0].protocol), (Protocol::Mse, Layout::Focus, Protocol::Mse));
}

#[test]
fn logout_is_offered_where_a_cookie_admitted_the_page() {
    let mut app = listing(&["a"]);
    assert!(!app.can_log_out, "a relay without credentials, or an older one");
    let answer = r#"{"version":"","protocols":[],"can_log_out":true,"streams":[]}"#;
    app.apply(read_catalogue(answer), 0.0);
    assert!(app.can_log_out);
}

#[test]
fn volume_is_clamped() {
    let mut app = listing(&["a"]);
    for (wanted, volume) in [(0.3, 0.3), (7.0, 1.0), (-1.0, 0.0)] {
        app.apply(Event::Choose(Choice::Volume("a".into(), wanted)), 0.0);
        assert_eq!(app.tiles[0].volume, volume);
    }
}

#[test]
fn upgraded_relay_asks_for_a_reload() {
    let mut app = listing(&["a"]);
    assert_eq!(app.banner(), None);
    app.apply(catalogue_of("9.0.0", SUBPROTOCOL, &["a"]), 0.0);
    let (text, reload) = app.banner().unwrap();
    assert!(text.contains("9.0.0") && text.contains("Reload") && reload, "{text}");
    app.apply(catalogue_of("9.0.0", "sightline.v9", &["a"]), 0.0);
    let (text, reload) = app.banner().unwrap();
    assert!(text.contains("no longer understands") && reload, "{text}");
    app.apply(catalogue(&["a"]), 0.0);
    assert_eq!(app.banner(), None, "the old one is back");
    app.apply(Event::LoggedOut, 0.0);
    assert!(app.banner().is_some_and(|(text, reload)| text.contains("log in again") && reload));
    app.apply(catalogue(&["a"]), 0.0);
    assert_eq!(app.banner(), None);

    let answer = r#"{"version":"99.1.0","protocols":{},"cameras":[]}"#;
    app.apply(read_catalogue(answer), 0.0);
    let (text, reload) = app.banner().unwrap();
    assert!(text.contains("99.1.0") && text.contains("no longer understands") && reload, "{text}");
    for answer in ["", "<html>", "[]", "{}"] {
        assert_eq!(read_catalogue(answer), Event::CatalogueFailed, "{answer}");
    }
    let mut app = open("/", &[]);
    app.apply(read_catalogue(answer), 0.0);
    assert!(app.notice.is_some_and(|notice| !notice.contains('…')), "nothing is waited for");
}

#[test]
fn statistics_parameter_is_not_stored() {
    let mut app = open("/", &[("statistics", "")]);
    assert!(app.statistics());
    app.apply(Event::Choose(Choice::Layout(Layout::Focus)), 0.0);
    assert_eq!((app.statistics(), app.settings.statistics), (true, false));
    app.apply(Event::Choose(Choice::Statistics(None)), 0.0);
    assert_eq!((app.statistics(), app.settings.statistics), (false, false));

    let kept = Settings { statistics: true, ..Settings::default() };
    let parameters = [("statistics".to_owned(), "none".to_owned())];
    let mut app = App::new(Request::read("/", parameters), kept, Abilities::default());
    assert_eq!((app.statistics(), app.settings.statistics), (false, true));
    app.apply(Event::Choose(Choice::Statistics(None)), 0.0);
    assert_eq!((app.statistics(), app.settings.statistics), (true, true));
}

#[test]
fn missing_storage_is_reported_once() {
    let mut app = listing(&["a"]);
    (0..3).for_each(|_| app.apply(Event::NotKept("it is full".into()), 5.0));
    let (text, reload) = app.banner().unwrap();
    assert!(text.contains("it is full") && !reload, "{text}");
    assert_eq!(app.log.entries(Level::Warning, "it is full").count(), 1);
}

#[test]
fn test_page_plays_the_selection_at_its_start() {
    let mut app = open("/test", &[("codec", "h264")]);
    assert!(app.test.stream.is_none() && app.tiles.is_empty());
    app.apply(Event::Test(TestEvent::Start), 0.0);
    assert!(app.tiles.is_empty(), "there is nothing to start");
    app.apply(catalogue(&["gate", "yard"]), 0.0);
    assert_eq!((app.test.stream.as_ref(), app.tiles.len()), (Some(&name("gate")), 0));
    app.apply(Event::Test(TestEvent::Start), 0.0);
    assert_eq!((names(&app), app.choice, app.test.run), (vec!["gate"], VariantChoice::H264, 1));

    app.apply(Event::Test(TestEvent::Stream(name("yard"))), 0.0);
    app.apply(Event::Test(TestEvent::Variant(VariantChoice::Low)), 0.0);
    app.apply(Event::Test(TestEvent::Protocol(Protocol::Mse)), 0.0);
    assert_eq!((names(&app), app.choice), (vec!["gate"], VariantChoice::H264), "what plays is left alone");
    app.apply(Event::Test(TestEvent::Start), 0.0);
    assert_eq!((names(&app), app.choice, app.test.run), (vec!["yard"], VariantChoice::Low, 2));
    assert_eq!(app.tiles[0].protocol, Protocol::Mse);
    app.apply(Event::Test(TestEvent::Stop), 0.0);
    assert!(app.tiles.is_empty());
    let started = app.log.entries(Level::Info, "started").map(|entry| entry.text.clone()).collect::<Vec<_>>();
    assert_eq!(started, ["Started: gate by Auto, H.264.", "Started: yard by MSE, low."]);
}

#[test]
fn report_has_versions_settings_and_log() {
    let mut app = listing(&["yard"]);
    app.abilities.user_agent = "Browser/1".into();
    enliven(&mut app, "yard");
    app.apply(Event::Tile(name("yard"), TileEvent::Failed(Failure::Refused, "no such camera".into())), 1000.0);
    let report = app.report("https://example.org/?stream=yard", |at| format!("@{at}"));
    for part in ["Browser/1", "https://example.org/", VERSION, "yard", "@1000 error   yard: No such camera."] {
        assert!(report.contains(part), "{part} is not in:\n{report}");
    }
}

#[test]
fn hint_names_the_choice_of_auto_and_its_reason() {
    let mut app = listing(&["a", "b"]);
    assert_eq!(app.hint(Protocol::Auto), "The freshest way that works here.");
    for stream in ["a", "b"] {
        app.apply(
            Event::Tile(name(stream), TileEvent::ProtocolSelected(Protocol::Mse, "this page came from afar".into())),
            0.0,
        );
    }
    assert_eq!(app.hint(Protocol::Auto), "Uses MSE: this page came from afar.");
    app.apply(Event::Tile(name("b"), TileEvent::ProtocolSelected(Protocol::Hls, "nothing else works".into())), 0.0);
    assert_eq!(app.hint(Protocol::Auto), "Uses MSE for 1, HLS for 1.");
    assert_eq!(app.hint(Protocol::WebRtc), "This browser has no WebRTC.");
    app.abilities.webrtc = true;
    assert_eq!(app.hint(Protocol::WebRtc), "This relay has WebRTC turned off.");
    app.apply(
        Event::Catalogue(serde_json::from_str(r#"{"version":"","protocols":[],"webrtc":true,"streams":[]}"#).unwrap()),
        0.0,
    );
    assert!(app.hint(Protocol::WebRtc).contains("tunnels that carry HTTP only"));
}

#[test]
fn tile_has_the_listed_aspect_before_the_first_frame() {
    let mut app = listing(&["a"]);
    let json = r#"{"version":"1","protocols":[],"streams":[{"name":"a","state":{"state":"idle"},
        "variants":[{"variant":"copy","state":{"state":"idle"},"viewers":0,"size":{"width":640,"height":480}}]}]}"#;
    app.apply(Event::Catalogue(serde_json::from_str(json).unwrap()), 0.0);
    let size = Size { width: 640, height: 480 };
    assert_eq!(app.tiles[0].aspect(), f64::from(size.width) / f64::from(size.height));
}

#[test]
fn title_counts_cameras_that_are_not_live() {
    let mut app = listing(&["a", "b", "c"]);
    assert_eq!(app.title(), "Sightline");
    for stream in ["a", "c"] {
        app.apply(Event::Tile(name(stream), TileEvent::Lost { retry_ms: 500.0 }), 0.0);
    }
    assert_eq!(app.title(), "(2 offline) Sightline");
}
