// All videos of a document, including open shadow roots and frames of its own origin.
const videos = function* (root) {
    for (const element of root.querySelectorAll('*')) {
        if (element.localName === 'video') yield element;
        if (element.shadowRoot) yield* videos(element.shadowRoot);
        if (element.localName === 'iframe' && element.contentDocument) yield* videos(element.contentDocument);
    }
};
