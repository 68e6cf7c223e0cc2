//! Guards unregister what they registered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sightline_client::browser::listener::Listener;
use sightline_client::browser::mailbox::Mailbox;
use sightline_client::browser::on_screen::OnScreen;
use sightline_client::browser::socket::{Socket, SocketEvent};
use sightline_client::browser::timer::{Interval, Timeout};
use sightline_client::browser::window;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::fixture::{Video, sleep, until};

fn dispatch(kind: &str) {
    window().dispatch_event(&web_sys::Event::new(kind).unwrap()).unwrap();
}

fn counter() -> (Rc<Cell<u32>>, impl Fn() + Clone) {
    let count = Rc::new(Cell::new(0));
    let own = Rc::clone(&count);
    (count, move || own.set(own.get() + 1))
}

#[wasm_bindgen_test]
fn listener_receives_events_until_dropped() {
    let (count, call) = counter();
    let listener = Listener::new(&window(), "sightline-test", move |_| call());
    dispatch("sightline-test");
    dispatch("sightline-test");
    assert_eq!(count.get(), 2);
    drop(listener);
    dispatch("sightline-test");
    assert_eq!(count.get(), 2);
    assert_eq!(Rc::strong_count(&count), 1, "its callback is freed");
}

#[wasm_bindgen_test]
fn listener_can_be_dropped_by_its_own_callback() {
    let slot: Rc<RefCell<Option<Listener>>> = Rc::default();
    let (count, call) = counter();
    let own = Rc::clone(&slot);
    *slot.borrow_mut() = Some(Listener::new(&window(), "sightline-once", move |_| {
        drop(own.borrow_mut().take());
        call(); // the callback still owns its captures
    }));
    dispatch("sightline-once");
    dispatch("sightline-once");
    assert_eq!(count.get(), 1);
    assert_eq!((Rc::strong_count(&count), Rc::strong_count(&slot)), (1, 1));
}

#[wasm_bindgen_test]
fn nested_event_is_handled_after_the_current_one() {
    let order = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&order);
    let mailbox = Mailbox::new(move |_| {
        move |event: u8| {
            log.borrow_mut().push(event);
            if event == 1 {
                dispatch("sightline-inner"); // calls the listener before it returns
                log.borrow_mut().push(2);
            }
        }
    });
    let sender = mailbox.sender();
    let _listener = Listener::new(&window(), "sightline-inner", move |_| sender.send(3));
    mailbox.sender().send(1);
    assert_eq!(*order.borrow(), [1, 2, 3]);
}

#[wasm_bindgen_test]
async fn timers_fire_until_dropped() {
    let (ticks, tick) = counter();
    let (fired, fire) = counter();
    let (never, not) = counter();
    let interval = Interval::new(5, tick);
    let _timeout = Timeout::new(5.0, fire);
    drop(Timeout::new(5.0, not));
    until("three ticks", || ticks.get() >= 3).await;
    until("the timeout", || fired.get() == 1).await;
    drop(interval);
    let seen = ticks.get();
    sleep(40).await;
    assert_eq!((ticks.get(), fired.get(), never.get()), (seen, 1, 0));
}

#[wasm_bindgen_test]
async fn failed_socket_reports_its_close_and_a_dropped_one_nothing() {
    // A port that IANA keeps unassigned, and that no browser blocks.
    const NOWHERE: &str = "ws://127.0.0.1:49151/";
    let events = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&events);
    let on_event = move |event| log.borrow_mut().push(event);
    let socket = Socket::open(NOWHERE, on_event.clone()).unwrap();
    drop(Socket::open(NOWHERE, on_event).unwrap());
    until("the close event", || !events.borrow().is_empty()).await;
    sleep(50).await;
    assert!(matches!(events.borrow()[..], [SocketEvent::Closed { code: 1006, .. }]), "{:?}", events.borrow());
    socket.send("to nobody, without an exception");
}

#[wasm_bindgen_test]
fn invalid_address_is_an_error() {
    assert!(Socket::open("ws://:bad:", |_| {}).is_err());
}

#[wasm_bindgen_test]
async fn viewport_changes_are_reported_until_the_watch_is_dropped() {
    let video = Video::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let watch =
        OnScreen::new(&video.0, move |on_screen| log.borrow_mut().push(on_screen)).expect("IntersectionObserver");
    until("to be told that it is there", || seen.borrow().last() == Some(&true)).await;
    video.0.set_attribute("style", "position: absolute; top: 9000px").unwrap();
    until("to be told that it has left", || seen.borrow().last() == Some(&false)).await;
    drop(watch);
    assert_eq!(Rc::strong_count(&seen), 1, "its callback is freed");
}
