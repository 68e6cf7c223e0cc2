// The latency probe: reads the clock in the frames of a tile, or of any page, see latency_probe.rs. Its argument is the stream, or null
// for the first playing video. It replaces an earlier probe. videos.js and painted.js precede it. Where
// WebCodecs paints on a canvas, it reads that, at the first animation frame after a frame was painted.
const stream = arguments[0];
const [CELLS, BITS, ROWS] = [32, 24, 15];
// Above the number of samples between two collections: a minute at 60 frames per second.
const KEEP = 3600;
// Callbacks come within a refresh, and clocks are rounded: a frame may be drawn this many ms early.
const EARLY = 4;

window.sightlineProbe?.close();
const canvas = document.createElement('canvas');
const context = canvas.getContext('2d', { willReadFrequently: true });
const probe = { samples: [], unreadable: 0, lost: 0, video: null, tile: null, offset: 0 };

// The Unix clock in performance.now()'s resolution: timeOrigin is correct at page load and drifts afterwards.
probe.setClock = () => {
    const [start, limit] = [Date.now(), performance.now() + 5];
    while (Date.now() === start && performance.now() < limit);
    probe.offset = Date.now() - performance.now();
};

// The 24 bits of the clock. Null if there is none, or if it is blurred or torn.
const read = video => {
    const [width, height] = [video.videoWidth ?? video.width, video.videoHeight ?? video.height];
    if (!width) return null;
    if (canvas.width !== width) [canvas.width, canvas.height] = [width, 1];
    context.drawImage(video, 0, Math.floor(height / ROWS / 2), width, 1, 0, 0, width, 1);
    const row = context.getImageData(0, 0, width, 1).data;
    let [value, sum] = [0, 0];
    for (let cell = 0; cell < CELLS; cell++) {
        const bit = row[4 * Math.floor((2 * cell + 1) * width / CELLS / 2) + 1] > 127 ? 1 : 0;
        if (cell < BITS) value = value << 1 | bit;
        else sum = sum << 1 | bit;
    }
    const right = (value >> 16) * 31 + (value >> 8 & 255) * 17 + (value & 255) * 7 + 0x5a & 255;
    return sum === right ? value : null;
};

const see = (video, mediaTime, presented, shown) => {
    // Firefox reports a frame one refresh before it is visible and can be drawn.
    if (shown - performance.now() > EARLY) {
        requestAnimationFrame(() => probe.video === video && see(video, mediaTime, presented, shown));
        return;
    }
    const value = read(video);
    if (value === null) {
        probe.unreadable++;
        return;
    }
    const at = probe.offset + shown;
    const cycle = 2 ** BITS;
    let truth = (at - value) % cycle;
    if (truth > cycle / 2) truth -= cycle;
    const claim = probe.tile?.dataset.latencyMs;
    if (probe.samples.push([at, truth, claim ? Number(claim) : null, mediaTime, presented, canvas.width]) > KEEP) {
        probe.samples.shift();
        probe.lost++;
    }
};

const paint = (canvas, mediaTime) => {
    if (probe.video !== canvas) return;
    if (probe.painted === undefined) {
        requestAnimationFrame(() => {
            const time = probe.painted;
            probe.painted = undefined;
            if (probe.video === canvas) see(canvas, time, null, performance.now());
        });
    }
    probe.painted = mediaTime;
};

const follow = video => {
    if (video.localName === 'canvas') return;
    // Times are relative to the document that contains the video, which may be in a frame.
    const clock = video.ownerDocument.defaultView.performance;
    const shift = clock.timeOrigin - performance.timeOrigin;
    if (video.requestVideoFrameCallback) {
        const next = (_, frame) => {
            if (probe.video !== video) return;
            video.requestVideoFrameCallback(next);
            see(video, frame.mediaTime, frame.presentedFrames, Math.max(performance.now(), shift + frame.expectedDisplayTime));
        };
        video.requestVideoFrameCallback(next);
        return;
    }
    let last = -1;
    const next = () => {
        if (probe.video !== video) return;
        requestAnimationFrame(next);
        if (video.currentTime !== last) see(video, last = video.currentTime, null, performance.now());
    };
    requestAnimationFrame(next);
};

// The page may replace the watched element.
const plays = video => video.isConnected && video.videoWidth && !video.paused;
// WebCodecs presents on the canvas where the video has no track for it.
const surface = tile => {
    const video = tile?.querySelector('video');
    return video && tile.dataset.protocol === 'webcodecs' && !video.srcObject ? tile.querySelector('canvas') : video;
};
const find = () => {
    probe.tile = [...document.querySelectorAll('article.tile')].find(tile => tile.dataset.stream === stream);
    const first = () => probe.video && plays(probe.video) ? probe.video : [...videos(document)].find(plays);
    const video = (stream === null ? first() : surface(probe.tile)) ?? null;
    if (video === probe.video) return;
    probe.video = video;
    if (video) follow(video);
};

probe.setClock();
find();
painted.listeners.add(paint);
const timer = setInterval(find, 100);
probe.close = () => {
    clearInterval(timer);
    painted.listeners.delete(paint);
    probe.video = null;
};
probe.take = () => {
    probe.setClock();
    const taken = { now: probe.offset + performance.now(), samples: probe.samples, unreadable: probe.unreadable, lost: probe.lost };
    Object.assign(probe, { samples: [], unreadable: 0, lost: 0 });
    return taken;
};
window.sightlineProbe = probe;
