// Checks at every refresh that the first argument's tile shows a frame, and records when it does not. A seeking video keeps its
// frame, and so does one that waits for media.
const tile = document.querySelector(`article[data-stream='${CSS.escape(arguments[0])}']`);
const [video, canvas] = [tile.querySelector('video'), tile.querySelector('canvas')];
window.black = [];
const look = () => {
    const { readyState, videoWidth, seeking, currentTime, error } = video;
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    if (canvas.hidden && !seeking && (videoWidth === 0 || (readyState < 2 && frames <= 0))) {
        const { protocol, state } = tile.dataset;
        const at = Math.round(performance.now());
        window.black.push({ at, protocol, state, readyState, videoWidth, currentTime, frames, error: error?.message });
    }
    requestAnimationFrame(look);
};
look();
