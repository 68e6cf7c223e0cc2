// Every video of a document, in open shadow roots and in frames of its own origin too.
const videos = function* (root) {
    for (const element of root.querySelectorAll('*')) {
        if (element.localName === 'video') yield element;
        if (element.shadowRoot) yield* videos(element.shadowRoot);
        if (element.localName === 'iframe' && element.contentDocument) yield* videos(element.contentDocument);
    }
};
