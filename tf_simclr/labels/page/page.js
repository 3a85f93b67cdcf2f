"use strict";

// What people typed and what files are called reaches the page as text only:
// textContent, never HTML. Classes are kept in arrays and maps, whose keys may
// be called anything.

const SVG = "http://www.w3.org/2000/svg";
// Images of so few pixels are shown with hard edges.
const TINY = 64;
const POLL_MS = 1500;
// A guess that has just changed is not confirmed by a key meant for the last.
const SETTLE_MS = 250;
const LONGEST_PAUSE_S = 120;

const $ = (id) => document.getElementById(id);
const page = {
  images: new Map(), // number -> image to label
  order: [],
  current: null, // the image that is shown
  guess: null,
  guessAt: 0,
  news: null,
  events: 0,
  mine: [], // events of this tab that can be undone
  skipped: new Set(),
  group: null, // null, or [{image, out}]
  paces: [],
  shownAt: 0,
  busy: false,
  over: false,
};

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function say(text, problem = false) {
  $("message").textContent = text;
  $("message").hidden = !text;
  $("message").classList.toggle("problem", problem);
}

const isOpen = (image) => image.label === null && !image.excluded;
const percent = (share) => `${Math.round(100 * share)} %`;

function sizePicture(picture) {
  picture.addEventListener("load", () => {
    const side = Math.max(picture.naturalWidth, picture.naturalHeight);
    picture.classList.toggle("tiny", side <= TINY);
  });
}

// Talking to the server.

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    say(
      "The server does not answer: start it again with the same command. All" +
        " labels up to here are stored.",
      true,
    );
    return null;
  }
  const answer = await response.json();
  if (response.status !== 409 && !response.ok) {
    say(answer.error, true);
    return null;
  }
  return { ...answer, conflict: response.status === 409 };
}

async function loadState() {
  const answer = await ask("state");
  if (!answer) return;
  page.images = new Map(answer.images.map((image) => [image.index, image]));
  page.order = answer.images.map((image) => image.index);
  page.events = answer.news.events;
  showNews(answer.news);
}

async function act(what, body) {
  if (page.busy || page.over) return null;
  const answer = await send(what, body);
  if (!answer?.conflict) return answer;
  if (page.group) await openGroup();
  else await show(page.current.index);
  say(answer.error, true);
  return null;
}

async function send(what, body) {
  page.busy = true;
  try {
    const answer = await ask(what, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer) return null;
    for (const image of answer.images ?? []) take(image);
    if (answer.news) {
      const expected = page.events + (answer.news.events > page.events);
      if (answer.news.events === expected) page.events = expected;
      else await loadState();
      showNews(answer.news);
    }
    say("");
    return answer;
  } finally {
    page.busy = false;
  }
}

function take(image) {
  const known = page.images.get(image.index) ?? page.current;
  // An answer may come after that to a later request.
  if (known?.index === image.index && known.version > image.version) return;
  if (page.images.has(image.index)) page.images.set(image.index, image);
  if (page.current?.index === image.index) page.current = image;
}

async function look() {
  const index = page.current.index;
  const answer = await ask(`look?image=${index}`);
  // Another image may be on show by now.
  if (!answer || page.current.index !== index || page.busy) return null;
  if (answer.news.events !== page.events) await loadState();
  take(answer.image);
  showNews(answer.news);
  const before = page.guess?.class;
  page.guess = answer.guess;
  if (before !== page.guess?.class) page.guessAt = performance.now();
  return answer;
}

// What is shown.

function showNews(news) {
  page.news = news;
  const left = news.total - news.labelled - news.excluded;
  let text = `${news.labelled} of ${news.total} labelled`;
  if (news.excluded) text += `, ${news.excluded} left out`;
  if (!left) text += ": all done";
  if ($("counter").textContent !== text) $("counter").textContent = text;
  $("progress").max = news.total;
  $("progress").value = news.labelled + news.excluded;
  showClasses();
  showEstimates(news.estimates);
}

function wanted() {
  return $("search").value.normalize("NFC").trim();
}

function foundClasses() {
  const text = wanted().toLocaleLowerCase();
  return page.news.classes
    .map(([name, count], place) => ({ name, count, place }))
    .filter(({ name }) => name.toLocaleLowerCase().includes(text));
}

function showClasses() {
  const key = JSON.stringify([page.news.classes, wanted()]);
  if ($("classes").dataset.shown === key) return;
  $("classes").dataset.shown = key;
  const items = foundClasses().map(({ name, count, place }) => {
    const button = make("button");
    button.type = "button";
    if (place < 9) button.append(make("kbd", `${place + 1}`));
    button.append(make("bdi", name), make("span", `${count}`, "count"));
    button.addEventListener("click", () => choose(name));
    return button;
  });
  const text = wanted();
  if (text && !page.news.classes.some(([name]) => name === text)) {
    const button = make("button", undefined, "new");
    button.type = "button";
    button.append(make("span", "New class"), make("bdi", text));
    button.addEventListener("click", () => choose(text));
    items.push(button);
  }
  $("classes").replaceChildren(
    ...items.map((button) => {
      const item = make("li");
      item.append(button);
      return item;
    }),
  );
}

function shape(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  return element;
}

function showEstimates(estimates) {
  const key = JSON.stringify(estimates);
  if ($("curve").dataset.shown === key) return;
  $("curve").dataset.shown = key;
  $("estimate").hidden = !estimates.length;
  if (!estimates.length) return;
  const last = estimates[estimates.length - 1];
  $("estimate-text").textContent =
    `${percent(last.accuracy)} (95 % interval ${percent(last.low)} to` +
    ` ${percent(last.high)}): each of ${last.labels} labelled images was` +
    " guessed from the other labels.";
  const [width, height, left, bottom] = [300, 130, 40, 20];
  const x = (each) =>
    left + ((width - left - 8) * each.labels) / last.labels;
  const y = (share) => 6 + (height - bottom - 6) * (1 - share);
  const svg = shape("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Accuracy by number of labels: ${estimates
      .map((each) => `${each.labels}: ${percent(each.accuracy)}`)
      .join(", ")}`,
  });
  const above = estimates.map((each) => `${x(each)},${y(each.high)}`);
  const below = estimates.map((each) => `${x(each)},${y(each.low)}`);
  const line = estimates.map((each) => `${x(each)},${y(each.accuracy)}`);
  svg.append(
    shape("polygon", {
      class: "band",
      points: [...above, ...below.reverse()].join(" "),
    }),
  );
  for (const share of [0, 0.5, 1]) {
    const at = { x1: left, x2: width - 8, y1: y(share), y2: y(share) };
    svg.append(
      shape("line", { class: "axis", ...at }),
      shape(
        "text",
        { x: left - 4, y: y(share) + 4, "text-anchor": "end" },
        percent(share),
      ),
    );
  }
  svg.append(
    shape("polyline", { class: "line", points: line.join(" ") }),
    shape("circle", {
      cx: x(last),
      cy: y(last.accuracy),
      r: 3,
      fill: "currentColor",
    }),
    shape(
      "text",
      { x: width - 8, y: height - 4, "text-anchor": "end" },
      `${last.labels} labels`,
    ),
    shape("text", { x: left, y: height - 4 }, "0"),
  );
  $("curve").replaceChildren(svg);
}

function showCurrent() {
  const image = page.current;
  $("name").textContent = image.id;
  $("reason").textContent = image.reason ? `· ${image.reason}` : "";
  $("present").hidden = isOpen(image);
  $("present").textContent = image.excluded
    ? "Left out: not one of these."
    : `Labelled: ${image.label ?? ""}`;
  const shown = page.guess && isOpen(image);
  $("guess").hidden = !shown;
  $("group-guess").hidden = !page.guess;
  if (!page.guess) return;
  $("guess-name").textContent = page.guess.class;
  $("group-guess-name").textContent = page.guess.class;
  $("confidence").textContent = `${percent(page.guess.confidence)} sure`;
}

function thumbnail(image, caption) {
  const button = make("button");
  button.type = "button";
  const picture = make("img");
  picture.alt = image.id;
  picture.loading = "lazy";
  sizePicture(picture);
  picture.src = `small?image=${image.index}`;
  button.title = image.id;
  button.append(picture, make("span", caption));
  return button;
}

const caption = (image) => image.label ?? (image.excluded ? "left out" : "");

function showList(list, buttons) {
  list.replaceChildren(
    ...buttons.map((button) => {
      const item = make("li");
      item.append(button);
      return item;
    }),
  );
}

function showNeighbours(images) {
  const key = JSON.stringify(images);
  if ($("neighbours").dataset.shown === key) return;
  $("neighbours").dataset.shown = key;
  const buttons = images.map((image) => {
    const button = thumbnail(image, caption(image));
    button.addEventListener("click", () => show(image.index, image));
    return button;
  });
  showList($("neighbours"), buttons);
}

async function show(index, image) {
  closeGroup();
  page.current = page.images.get(index) ?? image ?? page.current;
  page.guess = null;
  page.shownAt = performance.now();
  $("picture").alt = `Image to label: ${page.current.id}`;
  $("picture").src = `large?image=${index}`;
  showCurrent();
  $("main").focus({ preventScroll: true });
  const answer = await look();
  if (!answer) return;
  showCurrent();
  showNeighbours(answer.neighbours);
  const next = nextOpen();
  // Fetched while the person looks at this one.
  if (next !== null) new Image().src = `large?image=${next}`;
}

function nextOpen() {
  const at = page.order.indexOf(page.current?.index);
  const others = [
    ...page.order.slice(at + 1),
    ...page.order.slice(0, Math.max(at, 0)),
  ].filter((index) => isOpen(page.images.get(index)));
  const fresh = others.filter((index) => !page.skipped.has(index));
  if (fresh.length) return fresh[0];
  page.skipped.clear();
  return others.length ? others[0] : null;
}

async function goOn() {
  const next = nextOpen();
  if (next !== null) return show(next);
  if (page.current) await show(page.current.index);
  if (page.order.every((index) => !isOpen(page.images.get(index)))) {
    say(
      "All of these images are labelled. Done ends the work; the terminal" +
        " then says how to train, and how to choose more.",
    );
  }
  return undefined;
}

// What the person does.

async function choose(name) {
  $("search").value = "";
  showClasses();
  $("main").focus({ preventScroll: true });
  let images = [page.current];
  if (page.group) {
    images = page.group.filter((each) => !each.out).map((each) => each.image);
  }
  if (!images.length) {
    say("All images are left out: click those that belong to the class.", true);
    return;
  }
  const seconds = (performance.now() - page.shownAt) / 1000;
  const answer = await act("label", { images: images.map(seen), class: name });
  if (!answer) return;
  page.mine.push(answer.event);
  pace(seconds / images.length);
  await goOn();
}

const seen = (image) => ({ index: image.index, version: image.version });

function pace(seconds) {
  if (seconds > LONGEST_PAUSE_S) return;
  page.paces = [...page.paces, seconds].slice(-20);
  const sorted = [...page.paces].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  $("pace").textContent = `${median.toFixed(1)} s an image`;
}

async function confirmGuess() {
  if (!page.group && !isOpen(page.current)) return goOn();
  if (!page.guess) return undefined;
  if (performance.now() - page.guessAt < SETTLE_MS) return undefined;
  return choose(page.guess.class);
}

async function undo() {
  const event = page.mine.pop() ?? page.news.last;
  if (!event) return say("There is nothing to undo.");
  const answer = await act("undo", { event });
  if (answer?.images.length) {
    await show(answer.images[0].index, answer.images[0]);
  }
  return undefined;
}

async function exclude() {
  const answer = await act("exclude", { images: [seen(page.current)] });
  if (!answer) return;
  page.mine.push(answer.event);
  await goOn();
}

async function skip() {
  page.skipped.add(page.current.index);
  await goOn();
}

async function step(by) {
  const at = page.order.indexOf(page.current.index);
  const count = page.order.length;
  await show(page.order[(Math.max(at, 0) + by + count) % count]);
}

async function openGroup() {
  const answer = await ask(`group?image=${page.current.index}`);
  if (!answer) return;
  page.group = answer.images.map((image) => ({ image, out: !isOpen(image) }));
  $("single").hidden = true;
  $("group").hidden = false;
  const buttons = page.group.map((each) => {
    const button = thumbnail(each.image, caption(each.image));
    button.setAttribute("aria-pressed", each.out);
    button.addEventListener("click", () => {
      each.out = !each.out;
      button.setAttribute("aria-pressed", each.out);
      button.lastChild.textContent = each.out ? "left out" : "";
      countGroup();
    });
    return button;
  });
  showList($("group-pictures"), buttons);
  countGroup();
  buttons[0]?.focus();
}

function countGroup() {
  const kept = page.group.filter((each) => !each.out).length;
  $("group-count").textContent =
    `${kept} of ${page.group.length} will get the class.`;
}

function closeGroup() {
  page.group = null;
  $("group").hidden = true;
  $("single").hidden = false;
}

async function finish() {
  const answer = await act("done", {});
  if (!answer) return;
  page.over = true;
  $("main").hidden = true;
  $("done").hidden = true;
  say("Done. You can close this page; the terminal says what comes next.");
}

// Keys.

function moveFocus(list, by) {
  const buttons = [...list.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  buttons[Math.min(Math.max(at + by, 0), buttons.length - 1)]?.focus();
}

function inSearch(event) {
  if (event.key === "Escape") {
    $("search").value = "";
    showClasses();
    $("main").focus();
  } else if (event.key === "ArrowDown") {
    event.preventDefault();
    moveFocus($("classes"), 1);
  } else if (event.key === "Enter" && wanted()) {
    event.preventDefault();
    const exact = page.news.classes.some(([name]) => name === wanted());
    const [first] = foundClasses();
    choose(event.shiftKey || exact || !first ? wanted() : first.name);
  }
}

const KEYS = new Map([
  ["Enter", confirmGuess],
  ["u", undo],
  ["s", skip],
  ["x", () => !page.group && exclude()],
  ["g", () => (page.group ? show(page.current.index) : openGroup())],
  ["Escape", () => page.group && show(page.current.index)],
]);

function arrow(event) {
  const by = ["ArrowRight", "ArrowDown"].includes(event.key) ? 1 : -1;
  const list = document.activeElement.closest("#classes, .pictures");
  if (list) {
    event.preventDefault();
    moveFocus(list, by);
  } else if (["ArrowLeft", "ArrowRight"].includes(event.key) && !page.group) {
    step(by);
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing)
    return;
  if (page.over || !page.current) return;
  if (event.target === $("search")) {
    inSearch(event);
    return;
  }
  // A key that is held down gives no second label.
  if (event.repeat && !event.key.startsWith("Arrow")) return;
  if (event.key.startsWith("Arrow")) {
    arrow(event);
  } else if (event.key === "/") {
    event.preventDefault();
    $("search").focus();
  } else if (/^[1-9]$/.test(event.key)) {
    const found = page.news.classes[Number(event.key) - 1];
    if (found) choose(found[0]);
  } else if (event.key === "Enter" && event.target.closest("button, summary")) {
    // In the grid, Enter is for the class and the space bar for an image.
    if (!page.group || !event.target.closest("#group-pictures")) return;
    event.preventDefault();
    confirmGuess();
  } else {
    KEYS.get(event.key)?.();
  }
});

$("search").addEventListener("input", showClasses);
$("guess").addEventListener("click", confirmGuess);
$("group-guess").addEventListener("click", confirmGuess);
$("undo").addEventListener("click", undo);
$("skip").addEventListener("click", skip);
$("exclude").addEventListener("click", exclude);
$("open-group").addEventListener("click", openGroup);
$("close-group").addEventListener("click", () => show(page.current.index));
$("done").addEventListener("click", finish);
sizePicture($("picture"));
$("picture").addEventListener("error", () =>
  say("This image cannot be read: x leaves it out.", true),
);

async function poll() {
  if (page.current && !page.busy && !page.over && !document.hidden) {
    const answer = await look();
    if (answer && !page.group) {
      showCurrent();
      showNeighbours(answer.neighbours);
    } else if (answer) {
      showCurrent();
    }
  }
  setTimeout(poll, POLL_MS);
}

async function start() {
  await loadState();
  if (!page.order.length) return;
  const open = page.order.find((index) => isOpen(page.images.get(index)));
  await show(open ?? page.order[0]);
  if (open === undefined) await goOn();
  setTimeout(poll, POLL_MS);
}

start();
