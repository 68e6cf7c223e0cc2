// Counts the frames of WebCodecs that a page paints on each canvas, from the first read on, and reports each to the listeners.
const painted = window.sightlinePainted ??= (() => {
    const painted = { counts: new WeakMap(), times: new WeakMap(), listeners: new Set() };
    const original = CanvasRenderingContext2D.prototype.drawImage;
    CanvasRenderingContext2D.prototype.drawImage = function (image, ...rest) {
        original.call(this, image, ...rest);
        if (!window.VideoFrame || !(image instanceof VideoFrame)) return;
        const canvas = this.canvas;
        painted.counts.set(canvas, (painted.counts.get(canvas) ?? 0) + 1);
        painted.times.set(canvas, image.timestamp / 1e6);
        for (const listener of painted.listeners) listener(canvas, image.timestamp / 1e6);
    };
    return painted;
})();
