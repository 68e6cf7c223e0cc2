// Records the time of a page's first frame and of its first request for media, in ms since the navigation began: see
// opening.rs. It runs before the page's own scripts. videos.js precedes it.
const opening = window.sightlineOpening = { connected: null, shown: null };
const connects = () => opening.connected ??= performance.now();
for (const name of ['WebSocket', 'RTCPeerConnection']) {
    const original = window[name];
    if (original) window[name] = class extends original { constructor(...args) { connects(); super(...args); } };
}
const asks = url => /\.m3u8|whep/.test(String(url?.url ?? url)) && connects();
const [request, open] = [window.fetch, XMLHttpRequest.prototype.open];
window.fetch = (...args) => (asks(args[0]), request(...args));
XMLHttpRequest.prototype.open = function (...args) { asks(args[1]); return open.apply(this, args); };

const shows = () => opening.shown ??= performance.now();
const followed = new WeakSet();
// Without a frame callback, polls the count of frames.
const count = video => video.getVideoPlaybackQuality().totalVideoFrames > 0 ? shows() : requestAnimationFrame(() => count(video));
const look = setInterval(() => {
    if (opening.shown !== null) clearInterval(look);
    for (const video of videos(document)) {
        if (followed.has(video)) continue;
        followed.add(video);
        if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(shows);
        else count(video);
    }
}, 4);
