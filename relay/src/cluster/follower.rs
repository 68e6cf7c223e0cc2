//! Follows the messages of one rendition of another relay: joins at the newest key frame, detects gaps in the numbers, and joins
//! again after each.
//!
//! The answer to a join (the *snapshot*) has the messages of the newest GOP under the numbers with which they were published.
//! Messages that arrive before it wait. If the snapshot contains the lost messages, the gap is closed and viewers notice nothing;
//! otherwise the snapshot begins a new epoch. Pure.

use std::collections::VecDeque;

use sightline_protocol::message::StreamState;

use super::message::Snapshot;
use super::wire::{Packet, PacketKind};

/// Maximum number of messages that wait for a snapshot: several seconds of frames. The oldest go first, and are a gap then.
const WAITING_MAX: usize = 512;
/// Maximum number of messages of a snapshot: minutes between two key frames.
const SNAPSHOT_MAX: u32 = 65_536;

/// An instruction to the caller.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// The source has this status.
    Status(StreamState),
    /// Publish the init segment or the fragment of this message.
    Publish(Packet),
    /// Join again, because this number of messages is missing.
    Rejoin(u64),
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// The next message, unless that is unknown.
    next: Option<PacketPosition>,
    /// The number of the message with the epoch's init segment.
    init: u64,
    joining: Option<Joining>,
}

/// A message's run and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PacketPosition {
    run: u64,
    number: u64,
}

#[derive(Debug, Default)]
struct Joining {
    /// The snapshot's head, and the position after it.
    head: Option<(Snapshot, PacketPosition)>,
    messages: Vec<Packet>,
    waiting: VecDeque<Packet>,
}

impl Follower {
    /// Expects a snapshot. Forgets the messages of an incomplete one.
    pub(super) fn join(&mut self) {
        let waiting = self.joining.take().map(|joining| joining.waiting).unwrap_or_default();
        self.joining = Some(Joining { waiting, ..Joining::default() });
    }

    /// Whether it expects a snapshot.
    pub(super) fn is_joining(&self) -> bool {
        self.joining.is_some()
    }

    /// Forgets the position: the next message starts a new epoch.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a published message.
    pub(super) fn published(&mut self, packet: Packet) -> Vec<Action> {
        let mut actions = Vec::new();
        self.take(packet, &mut actions);
        actions
    }

    fn take(&mut self, packet: Packet, actions: &mut Vec<Action>) {
        if let Some(joining) = &mut self.joining {
            if joining.waiting.len() == WAITING_MAX {
                joining.waiting.pop_front();
            }
            joining.waiting.push_back(packet);
            return;
        }
        let at = PacketPosition { run: packet.run, number: packet.number };
        let missing = match self.next {
            Some(next) if next == at => 0,
            // Part of the snapshot.
            Some(next) if next.run == at.run && at.number < next.number => return,
            Some(next) if next.run == at.run => at.number - next.number,
            _ => 1,
        };
        if missing > 0 {
            self.joining = Some(Joining { waiting: VecDeque::from([packet]), ..Joining::default() });
            actions.push(Action::Rejoin(missing));
            return;
        }
        self.next = Some(PacketPosition { number: at.number + 1, ..at });
        self.apply(packet, actions);
    }

    fn apply(&mut self, packet: Packet, actions: &mut Vec<Action>) {
        match packet.kind {
            PacketKind::Status => {
                if let Ok(status) = serde_json::from_slice(&packet.payload) {
                    actions.push(Action::Status(status));
                }
            }
            PacketKind::Init => {
                self.init = packet.number;
                actions.push(Action::Publish(packet));
            }
            PacketKind::Fragment => actions.push(Action::Publish(packet)),
            // Of no rendition.
            PacketKind::Announcement | PacketKind::Snapshot => {}
        }
    }

    /// Takes a message of the answer to the join.
    pub(super) fn answered(&mut self, packet: Packet) -> Vec<Action> {
        let Some(joining) = &mut self.joining else { return Vec::new() };
        match (&joining.head, packet.kind) {
            (None, PacketKind::Snapshot) => {
                let position = PacketPosition { run: packet.run, number: packet.number };
                let head = serde_json::from_slice(&packet.payload).ok();
                joining.head =
                    head.filter(|head: &Snapshot| head.messages <= SNAPSHOT_MAX).map(|head| (head, position));
            }
            (Some(_), PacketKind::Init | PacketKind::Fragment) => joining.messages.push(packet),
            _ => {}
        }
        let is_complete = |(head, _): &(Snapshot, _)| joining.messages.len() >= head.messages as usize;
        if joining.head.as_ref().is_some_and(is_complete) { self.finish() } else { Vec::new() }
    }

    /// Continues with the complete snapshot, then with the messages that waited for it.
    fn finish(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(Joining { head: Some((head, position)), messages, waiting }) = self.joining.take() else {
            return actions;
        };
        // The number of the first message to publish, if the epoch continues.
        let resumed = self.next.filter(|next| next.run == position.run && self.contains(*next, &messages));
        if resumed.is_none() {
            actions.push(Action::Status(head.status));
        }
        let is_news = |packet: &Packet| resumed.is_none_or(|next| packet.number >= next.number);
        for packet in messages.into_iter().filter(is_news) {
            self.apply(packet, &mut actions);
        }
        self.next = Some(position);
        for packet in waiting.into_iter().filter(|packet| packet.run == position.run) {
            self.take(packet, &mut actions);
        }
        actions
    }

    /// Whether `messages` are of the present epoch and have everything from `next` on.
    fn contains(&self, next: PacketPosition, messages: &[Packet]) -> bool {
        let is_same_epoch =
            messages.first().is_some_and(|init| init.kind == PacketKind::Init && init.number == self.init);
        is_same_epoch && messages.get(1).is_some_and(|first| first.number <= next.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::message::json;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn packet(kind: PacketKind, run: u64, number: u64) -> Packet {
        Packet { kind, run, number, payload: Bytes::new() }
    }

    fn fragment(number: u64) -> Packet {
        packet(PacketKind::Fragment, 1, number)
    }

    /// The messages of a snapshot of run 1 up to `next`: the init segment with number `init`, and fragments from `first` on.
    fn snapshot(init: u64, first: u64, next: u64) -> Vec<Packet> {
        let messages = std::iter::once(packet(PacketKind::Init, 1, init)).chain((first..next).map(fragment));
        let messages: Vec<_> = messages.collect();
        let head = Snapshot { status: StreamState::Live, messages: messages.len() as u32 };
        let head = Packet { payload: json(&head), ..packet(PacketKind::Snapshot, 1, next) };
        std::iter::once(head).chain(messages).collect()
    }

    fn answer(follower: &mut Follower, packets: Vec<Packet>) -> Vec<Action> {
        packets.into_iter().flat_map(|packet| follower.answered(packet)).collect()
    }

    /// The published numbers, with `i` for an init segment; and `r` for each new join.
    fn text(actions: &[Action]) -> String {
        let text = |action: &Action| match action {
            Action::Status(_) => "s".to_owned(),
            Action::Publish(packet) if packet.kind == PacketKind::Init => format!("i{}", packet.number),
            Action::Publish(packet) => packet.number.to_string(),
            Action::Rejoin(missing) => format!("r{missing}"),
        };
        actions.iter().map(text).collect::<Vec<_>>().join(" ")
    }

    /// A follower that has joined at the key frame 2 and has published everything up to 4.
    fn following() -> Follower {
        let mut follower = Follower::default();
        follower.join();
        assert_eq!(text(&follower.published(fragment(3))), "");
        assert_eq!(text(&follower.published(fragment(4))), "");
        assert_eq!(text(&answer(&mut follower, snapshot(1, 2, 4))), "s i1 2 3 4");
        assert!(!follower.is_joining());
        follower
    }

    #[test]
    fn snapshot_and_published_messages_join_without_a_gap() {
        let mut follower = following();
        assert_eq!(text(&follower.published(fragment(4))), "", "published twice");
        assert_eq!(text(&follower.published(fragment(5))), "5");
        assert_eq!(text(&follower.published(packet(PacketKind::Init, 1, 6))), "i6");
        assert_eq!(text(&follower.published(fragment(7))), "7");
    }

    #[test]
    fn gap_within_the_gop_is_closed() {
        let mut follower = following();
        assert_eq!(text(&follower.published(fragment(7))), "r2");
        assert_eq!(text(&follower.published(fragment(8))), "");
        assert_eq!(text(&answer(&mut follower, snapshot(1, 2, 8))), "5 6 7 8");
    }

    #[test]
    fn gap_beyond_the_gop_is_a_new_epoch_at_the_key_frame() {
        for (init, first) in [(1, 6), (5, 6)] {
            let mut follower = following();
            assert_eq!(text(&follower.published(fragment(8))), "r3");
            assert_eq!(text(&answer(&mut follower, snapshot(init, first, 8))), format!("s i{init} 6 7 8"));
            assert_eq!(text(&follower.published(fragment(9))), "9");
        }
    }

    #[test]
    fn another_run_is_a_new_epoch() {
        let mut follower = following();
        assert_eq!(text(&follower.published(packet(PacketKind::Fragment, 2, 5))), "r1");
        let other = snapshot(1, 2, 6).into_iter().map(|packet| Packet { run: 2, ..packet }).collect();
        assert_eq!(text(&answer(&mut follower, other)), "s i1 2 3 4 5");
        assert_eq!(text(&follower.published(fragment(5))), "r1");
    }

    #[test]
    fn source_without_media_has_a_status() {
        let mut follower = Follower::default();
        follower.join();
        let head = Snapshot { status: StreamState::Starting, messages: 0 };
        let head = Packet { payload: json(&head), ..packet(PacketKind::Snapshot, 1, 4) };
        assert_eq!(follower.answered(head), [Action::Status(StreamState::Starting)]);
        assert_eq!(text(&follower.published(packet(PacketKind::Init, 1, 4))), "i4");
        let offline = Packet { payload: json(&StreamState::Idle), ..packet(PacketKind::Status, 1, 5) };
        assert_eq!(follower.published(offline), [Action::Status(StreamState::Idle)]);
    }

    #[test]
    fn half_an_answer_is_replaced_by_the_next_one() {
        let mut follower = Follower::default();
        follower.join();
        assert_eq!(text(&follower.published(fragment(4))), "");
        assert_eq!(text(&answer(&mut follower, snapshot(1, 2, 4)[..2].to_vec())), "");
        follower.join();
        assert_eq!(text(&answer(&mut follower, snapshot(1, 2, 4))), "s i1 2 3 4", "waiting messages are kept");
    }

    proptest! {
        /// With any messages lost, the fragments after an init segment have consecutive numbers.
        #[test]
        fn no_loss_leaves_a_gap_in_an_epoch(lost in prop::collection::vec(any::<bool>(), 1..200)) {
            let mut follower = Follower::default();
            follower.join();
            let mut actions = answer(&mut follower, snapshot(0, 1, 2));
            for (number, lost) in (2u64..).zip(lost) {
                if lost {
                    continue;
                }
                actions.extend(follower.published(fragment(number)));
                if follower.is_joining() {
                    follower.join();
                    // A key frame at every tenth number.
                    actions.extend(answer(&mut follower, snapshot(0, (number + 1) / 10 * 10 + 1, number + 1)));
                }
            }
            let mut expected = None;
            for action in actions {
                let Action::Publish(packet) = action else { continue };
                if packet.kind == PacketKind::Init {
                    expected = None;
                } else {
                    prop_assert!(expected.is_none_or(|expected| expected == packet.number));
                    expected = Some(packet.number + 1);
                }
            }
        }
    }
}
