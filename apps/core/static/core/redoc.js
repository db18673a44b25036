"use strict";

// In a file of its own, so that the page's policy can forbid all scripts that stand in a page.
const place = document.getElementById("api");
Redoc.init(place.dataset.document, { nativeScrollbars: true, sortTagsAlphabetically: false }, place);
