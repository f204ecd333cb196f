// The page's side of the chat: one WebSocket that is opened again whenever it is lost.

const byId = (id) => document.getElementById(id);
const join = byId('join');
const room = byId('room');
const log = byId('log');
const say = byId('say');
const text = byId('text');

// Connection

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;
const OPENING = 10_000;
// The server would close the next connection for the same reason.
const FINAL = [1003, 1007, 1008, 1009];
// The server stops, or another one has more room.
const MOVED_ON = 1001;

let name = '';
let place = '';
let you = '';
let socket = null;
let failures = 0;
let retryAt = 0;
let timer = 0;

function connect() {
  clearTimeout(timer);
  const url = new URL(`/rooms/${encodeURIComponent(place)}`, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const opening = new WebSocket(url);
  socket = opening;
  show('connecting', room.hidden ? 'Connecting' : 'Reconnecting');
  // A server that accepts connections and says nothing would keep the page waiting for minutes.
  timer = setTimeout(() => lost(opening, 1006, ''), OPENING);
  opening.onopen = () => opening.send(JSON.stringify({ type: 'hello', name }));
  opening.onmessage = ({ data }) => socket === opening && receive(JSON.parse(data));
  opening.onclose = ({ code, reason }) => lost(opening, code, reason);
}

function lost(closed, code, reason) {
  // Each connection is lost once, and only the newest one matters.
  if (socket !== closed) return;
  drop();
  if (FINAL.includes(code)) {
    leave();
    tell(`The server closed the connection: ${reason || code}.`);
    return;
  }
  if (code === MOVED_ON) tell('The server moved this page on. It reconnects by itself.');
  else if (reason) tell(`${reason[0].toUpperCase()}${reason.slice(1)}.`);
  else if (failures === 0) tell('There is no connection to the server.');
  // The delay doubles each time. Half of it is random, so that the pages do not all come back at once.
  const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** failures);
  const delay = longest / 2 + Math.random() * (longest / 2);
  failures += 1;
  retryAt = Date.now() + delay;
  const next = room.hidden ? 'Connecting' : 'Reconnecting';
  show('waiting', navigator.onLine ? next : 'Offline, retry');
  timer = setTimeout(connect, delay);
}

function drop() {
  clearTimeout(timer);
  const dropped = socket;
  socket = null;
  dropped?.close();
}

const isOpen = () => byId('connection').dataset.state === 'open';

function show(state, words) {
  byId('connection').dataset.state = state;
  byId('state').textContent = words;
  byId('send').disabled = state !== 'open';
  byId('retry').hidden = state !== 'waiting';
  tick();
}

function tick() {
  const waiting = byId('connection').dataset.state === 'waiting';
  const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000));
  byId('countdown').textContent = waiting ? `in ${seconds} s` : '';
}
setInterval(tick, 500);

const retry = () => byId('connection').dataset.state === 'waiting' && connect();
byId('retry').onclick = () => {
  retry();
  text.focus();
};
addEventListener('online', retry);
// A phone that wakes up tries now, not when its timer ends.
document.addEventListener('visibilitychange', () => document.hidden || retry());

// Messages from the server

const people = new Set();

function receive(event) {
  switch (event.type) {
    case 'welcome':
      clearTimeout(timer);
      you = event.you;
      people.clear();
      event.people.forEach((person) => people.add(person));
      enter();
      list();
      break;
    case 'came':
      people.add(event.name);
      notice(`${event.name} came in.`);
      list();
      break;
    case 'went':
      people.delete(event.name);
      notice(`${event.name} left.`);
      list();
      break;
    case 'said':
      message(event.name, event.text);
      break;
    case 'missed':
      notice(`This page was too slow and missed ${event.count} messages.`);
      break;
  }
}

// The log and the list: words of other people are set as text, never as markup.

const LONGEST_LOG = 500;
let speaker = null;

function element(tag, className, words) {
  const made = document.createElement(tag);
  made.className = className;
  if (words !== undefined) made.textContent = words;
  return made;
}

// A colour for each name, the same on every page.
function tint(made, person) {
  let hash = 0x811c9dc5;
  for (const char of person) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  made.style.setProperty('--hue', (hash >>> 0) % 360);
  return made;
}

function append(...made) {
  log.append(...made);
  while (log.childElementCount > LONGEST_LOG) log.firstElementChild.remove();
  follow();
  byId('newer').hidden = atBottom;
}

// The newest message stays in view, unless the reader has scrolled up to older ones.
let atBottom = true;
let scrolled = 0;
const follow = () => {
  if (atBottom) log.scrollTop = log.scrollHeight;
};
new ResizeObserver(follow).observe(log);
log.onscroll = () => {
  const isNear = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  // A log that only became narrower has more lines below, but only a reader scrolls up.
  if (isNear || log.scrollTop < scrolled) atBottom = isNear;
  scrolled = log.scrollTop;
  if (atBottom) byId('newer').hidden = true;
};

function notice(words) {
  speaker = null;
  append(element('p', 'notice', words));
}

// Says what happened where the reader looks, and the same thing only once.
let told = '';

function tell(words) {
  if (words === told) return;
  told = words;
  if (room.hidden) byId('trouble').textContent = words;
  else notice(words);
}

function message(person, words) {
  const mine = person === you ? ' mine' : '';
  const made = element('p', `message${mine}`);
  if (speaker === person) {
    // The name is shown above the first message only. A screen reader says it with each.
    made.append(element('span', 'unseen', `${person}: `), words);
    append(made);
    return;
  }
  speaker = person;
  made.textContent = words;
  const by = tint(element('p', `by${mine}`), person);
  const now = new Date();
  const time = element('time', '', now.toLocaleTimeString([], { timeStyle: 'short' }));
  time.dateTime = now.toISOString();
  by.append(element('b', '', mine ? 'You' : person), time);
  append(by, made);
}

function list() {
  byId('count').textContent = people.size;
  const sorted = [...people].sort((a, b) => a.localeCompare(b));
  byId('here').replaceChildren(...sorted.map((person) => {
    const made = tint(element('li', ''), person);
    const who = element('span', '', person);
    if (person === you) who.append(element('span', 'you', ' (you)'));
    made.append(who);
    return made;
  }));
}

// The person's side

const NAME = 32;
const tidy = (words) => words.trim().replace(/\s+/g, ' ');
const fits = (words) => words.length > 0 && [...words].length <= NAME;
// Browsers resolve these in the path of a URL.
const isDots = (words) => words === '.' || words === '..';

function start(as, where) {
  drop();
  show('idle', 'Not connected');
  name = tidy(as);
  place = tidy(where);
  failures = 0;
  told = '';
  byId('name').value = name;
  byId('where').value = place;
  byId('trouble').textContent = '';
  if (!fits(name)) return tell('A name has 1 to 32 characters.');
  if (!fits(place)) return tell('The name of a room has 1 to 32 characters.');
  if (isDots(place)) return tell('A room cannot have this name.');
  // The name is for this tab only, because another tab is another person. The room is in the address,
  // to share it.
  sessionStorage.setItem('name', name);
  history.replaceState(null, '', `/?room=${encodeURIComponent(place)}`);
  connect();
}

function enter() {
  show('open', 'Connected');
  if (failures && !room.hidden) notice('You are back.');
  failures = 0;
  told = '';
  if (!room.hidden) return;
  join.hidden = true;
  room.hidden = false;
  byId('title').textContent = place;
  document.title = `${place} · Chat`;
  notice('You are in. To have somebody to talk to, open the address of this page in another tab.');
  text.focus();
}

function leave() {
  drop();
  sessionStorage.removeItem('name');
  failures = 0;
  people.clear();
  log.replaceChildren();
  atBottom = true;
  speaker = null;
  room.hidden = true;
  join.hidden = false;
  byId('title').textContent = 'Chat';
  document.title = 'Chat';
  byId('trouble').textContent = '';
  show('idle', 'Not connected');
  byId('name').focus();
}

join.onsubmit = (event) => {
  event.preventDefault();
  start(byId('name').value, byId('where').value);
};

byId('leave').onclick = leave;

// On a phone, the names are shown on demand.
byId('names').onclick = ({ currentTarget: button }) => {
  const isExpanded = button.getAttribute('aria-expanded') === 'true';
  button.setAttribute('aria-expanded', String(!isExpanded));
};

say.onsubmit = (event) => {
  event.preventDefault();
  // Words that cannot be sent now stay in the field.
  if (!isOpen()) return;
  atBottom = true;
  if (text.value.trim()) socket.send(JSON.stringify({ type: 'say', text: text.value }));
  text.value = '';
  text.focus();
};

text.onkeydown = (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say.requestSubmit();
};

byId('newer').onclick = () => {
  log.scrollTop = log.scrollHeight;
  text.focus();
};

const shared = new URLSearchParams(location.search).get('room') ?? 'lobby';
const remembered = sessionStorage.getItem('name');
if (remembered) {
  start(remembered, shared);
} else {
  byId('where').value = shared;
  byId('name').focus();
}
