//! Queues events for one owner, which handles one at a time.
//!
//! Some calls into the DOM fire events before they return, so a callback may run while another event is being handled. A
//! callback that only posts into a mailbox is safe at any time. An idle handler runs at once; a busy one takes the event after
//! the current one. The owner's state therefore needs no locks and is never borrowed twice.
//!
//! The queue holds only the events that one event causes: it is empty whenever the handler returns to the browser.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

type Handler<E> = Box<dyn FnMut(E)>;

struct Shared<E> {
    queue: RefCell<VecDeque<E>>,
    handler: RefCell<Option<Handler<E>>>,
    busy: Cell<bool>,
    closed: Cell<bool>,
}

/// Owns the handler; dropping it drops the handler and everything the handler owns.
#[must_use = "dropping the mailbox drops its handler"]
pub struct Mailbox<E> {
    shared: Rc<Shared<E>>,
}

/// Posts into a [`Mailbox`] while it exists.
pub struct Sender<E> {
    shared: Weak<Shared<E>>,
}

impl<E> Clone for Sender<E> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<E> Mailbox<E> {
    /// Creates a mailbox with the handler that `make` returns. `make` may keep the sender.
    pub fn new<H: FnMut(E) + 'static>(make: impl FnOnce(Sender<E>) -> H) -> Self {
        let mailbox = Self {
            shared: Rc::new(Shared {
                queue: RefCell::default(),
                handler: RefCell::new(None),
                busy: Cell::new(false),
                closed: Cell::new(false),
            }),
        };
        let handler = make(mailbox.sender());
        mailbox.shared.handler.replace(Some(Box::new(handler)));
        drain(&mailbox.shared); // events posted while the handler was being made
        mailbox
    }

    /// A sender to this mailbox.
    pub fn sender(&self) -> Sender<E> {
        Sender { shared: Rc::downgrade(&self.shared) }
    }
}

impl<E> Drop for Mailbox<E> {
    fn drop(&mut self) {
        self.shared.closed.set(true);
        // A running handler is not in its cell: `drain` drops it when it returns.
        drop(self.shared.handler.take());
        self.shared.queue.take();
    }
}

impl<E> Sender<E> {
    /// Posts an event. Without a mailbox, the event is dropped.
    pub fn send(&self, event: E) {
        if let Some(shared) = self.shared.upgrade() {
            shared.queue.borrow_mut().push_back(event);
            drain(&shared);
        }
    }
}

fn drain<E>(shared: &Rc<Shared<E>>) {
    if shared.busy.get() {
        return;
    }
    // The handler is out of its cell while it runs, so that it may post, or even drop its mailbox.
    let Some(mut handler) = shared.handler.take() else { return };
    shared.busy.set(true);
    while !shared.closed.get() {
        let next = shared.queue.borrow_mut().pop_front();
        let Some(event) = next else { break };
        handler(event);
    }
    shared.busy.set(false);
    if !shared.closed.get() {
        shared.handler.replace(Some(handler));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_posted_by_the_handler_keep_their_order() {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&seen);
        let mailbox = Mailbox::new(move |sender: Sender<u32>| {
            move |event| {
                if event < 3 {
                    sender.send(event * 10);
                    sender.send(event * 10 + 1);
                }
                log.borrow_mut().push(event);
            }
        });
        mailbox.sender().send(1);
        mailbox.sender().send(2);
        assert_eq!(*seen.borrow(), [1, 10, 11, 2, 20, 21]);
    }

    #[test]
    fn dropped_mailbox_drops_its_handler_and_ignores_senders() {
        let owned = Rc::new(());
        let held = Rc::clone(&owned);
        let mailbox = Mailbox::new(move |_: Sender<u32>| move |_| assert!(Rc::strong_count(&held) > 0));
        let sender = mailbox.sender();
        sender.send(1);
        assert_eq!(Rc::strong_count(&owned), 2);
        drop(mailbox);
        assert_eq!(Rc::strong_count(&owned), 1);
        sender.send(2);
    }

    #[test]
    fn handler_can_drop_its_own_mailbox() {
        let owned = Rc::new(());
        let held = Rc::clone(&owned);
        let slot: Rc<RefCell<Option<Mailbox<u32>>>> = Rc::default();
        let own = Rc::clone(&slot);
        let mailbox = Mailbox::new(move |_| {
            move |_| {
                let _ = &held;
                drop(own.borrow_mut().take());
            }
        });
        let sender = mailbox.sender();
        *slot.borrow_mut() = Some(mailbox);
        sender.send(1);
        assert_eq!(Rc::strong_count(&owned), 1, "the handler is gone");
        sender.send(2);
    }
}
