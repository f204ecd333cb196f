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
// After these the server would say the same again: it did not like what this page sent.
const REFUSALS = [1003, 1007, 1008, 1009];

let name = '';
let you = '';
let socket = null;
let failures = 0;
let retryAt = 0;
let timer = 0;

function connect() {
  clearTimeout(timer);
  const url = new URL('/chat', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const opening = new WebSocket(url);
  socket = opening;
  show('connecting', failures ? 'Reconnecting' : 'Connecting');
  // A server that accepts connections and says nothing would keep the page waiting for minutes.
  timer = setTimeout(() => lost(opening, 1006, ''), OPENING);
  opening.onopen = () => opening.send(JSON.stringify({ type: 'hello', name }));
  opening.onmessage = ({ data }) => socket === opening && receive(JSON.parse(data));
  opening.onclose = ({ code, reason }) => lost(opening, code, reason);
}

function lost(closed, code, reason) {
  // Every connection is lost once, and an older one than the last does not matter.
  if (socket !== closed) return;
  drop();
  byId('connection').dataset.closeCode = code;
  if (REFUSALS.includes(code)) {
    leave(`The server closed the connection: ${reason || code}`);
    show('failed', 'Refused');
    return;
  }
  if (failures === 0) notice(code === 1001 ? 'The server went away.' : 'The connection was lost.');
  // Twice as long each time; half of it by chance, so that not all pages come back at once.
  const longest = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** failures);
  const delay = longest / 2 + Math.random() * (longest / 2);
  failures += 1;
  retryAt = Date.now() + delay;
  show('waiting', navigator.onLine ? 'Connection lost' : 'You are offline');
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
// A phone that wakes up is looked at now, not when its timer ends.
document.addEventListener('visibilitychange', () => document.hidden || retry());

// What the server says

const people = new Set();

function receive(event) {
  switch (event.type) {
    case 'welcome':
      clearTimeout(timer);
      if (failures) notice('You are back.');
      failures = 0;
      you = event.you;
      people.clear();
      event.people.forEach((person) => people.add(person));
      enter();
      break;
    case 'came':
      people.add(event.name);
      notice(`${event.name} came in.`);
      break;
    case 'went':
      people.delete(event.name);
      notice(`${event.name} left.`);
      break;
    case 'said':
      message(event.name, event.text);
      break;
    case 'missed':
      notice(`This page was too slow and missed ${event.count} messages.`);
      break;
  }
  list();
}

// What is seen: other people's words get in as text only.

const LONGEST_LOG = 500;
let speaker = null;

function element(tag, className, words) {
  const made = document.createElement(tag);
  made.className = className;
  if (words !== undefined) made.textContent = words;
  return made;
}

// A colour for a name, the same on every page.
function tint(made, person) {
  let hash = 0x811c9dc5;
  for (const char of person) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  made.style.setProperty('--hue', (hash >>> 0) % 360);
  return made;
}

function append(...made) {
  const atBottom = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  log.append(...made);
  while (log.childElementCount > LONGEST_LOG) log.firstElementChild.remove();
  if (atBottom) log.scrollTop = log.scrollHeight;
  byId('newer').hidden = atBottom;
}

function notice(words) {
  speaker = null;
  append(element('p', 'notice', words));
}

function message(person, words) {
  const mine = person === you ? ' mine' : '';
  const made = element('p', `message${mine}`);
  if (speaker === person) {
    // Seen, the name stands above the first message; heard, it comes with each.
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
    made.append(element('span', '', person));
    if (person === you) made.append(element('span', 'you', '(you)'));
    return made;
  }));
}

// What the person does

function enter() {
  show('open', `Connected as ${you}`);
  if (!room.hidden) return;
  join.hidden = true;
  room.hidden = false;
  notice('You are in. Open another tab to have somebody to talk to.');
  text.focus();
}

function leave(trouble) {
  drop();
  sessionStorage.removeItem('name');
  failures = 0;
  people.clear();
  log.replaceChildren();
  room.hidden = true;
  join.hidden = false;
  byId('trouble').textContent = trouble;
  show('idle', 'Not connected');
  byId('name').value = name;
  byId('name').focus();
}

function start(as) {
  name = as;
  byId('trouble').textContent = '';
  // This tab only: another one is another person.
  sessionStorage.setItem('name', name);
  connect();
}

join.onsubmit = (event) => {
  event.preventDefault();
  const as = byId('name').value.trim();
  if (as && !socket) start(as);
  else if (!as) byId('trouble').textContent = 'The name is empty.';
};

byId('leave').onclick = () => leave('');

say.onsubmit = (event) => {
  event.preventDefault();
  // What cannot be sent now stays in the field.
  if (!isOpen()) return;
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
log.onscroll = () => {
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 80) byId('newer').hidden = true;
};

const remembered = sessionStorage.getItem('name');
if (remembered) start(remembered);
else byId('name').focus();
