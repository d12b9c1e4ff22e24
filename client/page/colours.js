/** Code in colour, line by line: a line is read once, from the state that the line before left. */

const FILES = {
  clike: () => import("@codemirror/legacy-modes/mode/clike"),
  css: () => import("@codemirror/legacy-modes/mode/css"),
  javascript: () => import("@codemirror/legacy-modes/mode/javascript"),
  python: () => import("@codemirror/legacy-modes/mode/python"),
  shell: () => import("@codemirror/legacy-modes/mode/shell"),
  sql: () => import("@codemirror/legacy-modes/mode/sql"),
  xml: () => import("@codemirror/legacy-modes/mode/xml"),
  yaml: () => import("@codemirror/legacy-modes/mode/yaml"),
  toml: () => import("@codemirror/legacy-modes/mode/toml"),
  properties: () => import("@codemirror/legacy-modes/mode/properties"),
  rust: () => import("@codemirror/legacy-modes/mode/rust"),
  go: () => import("@codemirror/legacy-modes/mode/go"),
  ruby: () => import("@codemirror/legacy-modes/mode/ruby"),
  swift: () => import("@codemirror/legacy-modes/mode/swift"),
  lua: () => import("@codemirror/legacy-modes/mode/lua"),
  perl: () => import("@codemirror/legacy-modes/mode/perl"),
  r: () => import("@codemirror/legacy-modes/mode/r"),
  julia: () => import("@codemirror/legacy-modes/mode/julia"),
  haskell: () => import("@codemirror/legacy-modes/mode/haskell"),
  erlang: () => import("@codemirror/legacy-modes/mode/erlang"),
  elm: () => import("@codemirror/legacy-modes/mode/elm"),
  clojure: () => import("@codemirror/legacy-modes/mode/clojure"),
  commonlisp: () => import("@codemirror/legacy-modes/mode/commonlisp"),
  scheme: () => import("@codemirror/legacy-modes/mode/scheme"),
  mllike: () => import("@codemirror/legacy-modes/mode/mllike"),
  groovy: () => import("@codemirror/legacy-modes/mode/groovy"),
  powershell: () => import("@codemirror/legacy-modes/mode/powershell"),
  dockerfile: () => import("@codemirror/legacy-modes/mode/dockerfile"),
  diff: () => import("@codemirror/legacy-modes/mode/diff"),
  nginx: () => import("@codemirror/legacy-modes/mode/nginx"),
  cmake: () => import("@codemirror/legacy-modes/mode/cmake"),
  protobuf: () => import("@codemirror/legacy-modes/mode/protobuf"),
  stex: () => import("@codemirror/legacy-modes/mode/stex"),
  pascal: () => import("@codemirror/legacy-modes/mode/pascal"),
  fortran: () => import("@codemirror/legacy-modes/mode/fortran"),
  octave: () => import("@codemirror/legacy-modes/mode/octave"),
  vb: () => import("@codemirror/legacy-modes/mode/vb"),
  verilog: () => import("@codemirror/legacy-modes/mode/verilog"),
  vhdl: () => import("@codemirror/legacy-modes/mode/vhdl"),
  sass: () => import("@codemirror/legacy-modes/mode/sass"),
  stylus: () => import("@codemirror/legacy-modes/mode/stylus"),
  coffeescript: () => import("@codemirror/legacy-modes/mode/coffeescript"),
  http: () => import("@codemirror/legacy-modes/mode/http"),
};
const LANGUAGES = {
  "c": "clike", "cpp c++ cc h hpp": "clike cpp", "csharp c# cs": "clike csharp", "java": "clike", "kotlin kt": "clike kotlin",
  "scala": "clike", "dart": "clike", "objectivec objc": "clike objectiveC", "css": "css", "scss": "css sCSS", "less": "css",
  "javascript js jsx mjs cjs node": "javascript", "typescript ts tsx": "javascript typescript", "json jsonc json5": "javascript json",
  "python py": "python", "shell sh bash zsh console shellsession": "shell", "sql postgresql postgres mysql sqlite plsql": "sql standardSQL",
  "html xhtml vue svelte": "xml html", "xml svg rss": "xml", "yaml yml": "yaml", "toml": "toml", "ini properties env conf": "properties",
  "rust rs": "rust", "go golang": "go", "ruby rb": "ruby", "swift": "swift", "lua": "lua", "perl pl": "perl", "r": "r",
  "julia jl": "julia", "haskell hs": "haskell", "erlang erl": "erlang", "elm": "elm", "clojure clj": "clojure",
  "commonlisp lisp": "commonlisp commonLisp", "scheme": "scheme", "ocaml ml": "mllike oCaml", "fsharp fs f#": "mllike fSharp",
  "groovy gradle": "groovy", "powershell ps1 pwsh": "powershell powerShell", "dockerfile docker": "dockerfile dockerFile",
  "diff patch": "diff", "nginx": "nginx", "cmake": "cmake", "protobuf proto": "protobuf", "latex tex stex": "stex",
  "pascal delphi": "pascal", "fortran": "fortran", "matlab octave": "octave", "vb vbnet": "vb", "verilog systemverilog": "verilog",
  "vhdl": "vhdl", "sass": "sass", "stylus": "stylus", "coffeescript coffee": "coffeescript coffeeScript", "http": "http",
};
const BY_NAME = new Map(
  Object.entries(LANGUAGES).flatMap(([names, mode]) => names.split(" ").map((name) => [name, mode.split(" ")])),
);
const CLASSES = {
  keyword: "keyword", operator: "", string: "string", comment: "comment", number: "number", atom: "number", bool: "number",
  def: "name", definition: "name", variable: "", property: "property", propertyName: "property", attribute: "property",
  attributeName: "property", type: "type", typeName: "type", tag: "keyword", tagName: "keyword", builtin: "type", meta: "meta",
  standard: "type", qualifier: "type", error: "", inserted: "inserted", deleted: "deleted", header: "keyword", heading: "keyword",
  link: "string", regexp: "string", "string-2": "string", "variable-2": "name", "variable-3": "type", labelName: "name", className: "type",
  changed: "meta", annotation: "meta", processingInstruction: "meta", null: "number", self: "keyword", unit: "number", url: "string",
};

/**
 * @param {string} language  as it stands after the fence
 * @returns {Promise<(() => Painter) | null>}  null: no such language is known
 */
export async function painterOf(language) {
  const [file, name = file] = BY_NAME.get(language.toLowerCase()) ?? [];
  if (!file) return null;
  const { [name]: mode } = await FILES[file]();
  return () => new Painter(mode);
}

class Painter {
  #mode;
  #state;

  constructor(mode, state = mode.startState?.(2) ?? {}) {
    this.#mode = mode;
    this.#state = state;
  }

  restart() {
    this.#state = this.#mode.startState?.(2) ?? {};
  }

  /** One that goes on from here, and leaves this one where it is. */
  fork() {
    return new Painter(this.#mode, this.#mode.copyState?.(this.#state) ?? copied(this.#state));
  }

  /** @param {string} text  the next line @returns {import("./grow.js").Plan[]} */
  line(text) {
    const parts = [];
    if (!text) this.#mode.blankLine?.(this.#state, 2);
    for (const stream = new Stream(text); !stream.eol(); stream.start = stream.pos) {
      const style = this.#token(stream);
      add(parts, stream.current(), className(style));
    }
    return parts;
  }

  #token(stream) {
    for (let tries = 0; tries < 10; tries++) {
      const style = this.#mode.token(stream, this.#state);
      if (stream.pos > stream.start) return style;
    }
    stream.skipToEnd(); // it does not know
    return null;
  }
}

function add(parts, text, name) {
  const last = parts.at(-1);
  if (name) parts.push({ tag: "span", attributes: { class: `code-${name}` }, text, children: () => [text] });
  else if (typeof last === "string") parts[parts.length - 1] += text;
  else parts.push(text);
}

function className(style) {
  for (const word of style?.split(/[\s.]+/).reverse() ?? []) if (CLASSES[word]) return CLASSES[word];
  return "";
}

const copied = (state) =>
  Object.fromEntries(Object.entries(state).map(([key, value]) => [key, Array.isArray(value) ? [...value] : value]));

/** The line that a mode reads: what CodeMirror calls a StringStream. */
class Stream {
  start = 0;
  pos = 0;
  indentUnit = 2;
  tabSize = 4;
  lastColumnPos = 0;
  lastColumnValue = 0;

  constructor(string) {
    this.string = string;
  }

  eol = () => this.pos >= this.string.length;
  sol = () => this.pos === 0;
  peek = () => this.string[this.pos];
  next = () => this.string[this.pos++];
  current = () => this.string.slice(this.start, this.pos);
  column = () => width(this.string, this.start);
  indentation = () => width(this.string, /^\s*/.exec(this.string)[0].length);
  backUp = (count) => void (this.pos -= count);
  skipToEnd = () => void (this.pos = this.string.length);

  eat(match) {
    const character = this.peek();
    if (character === undefined || !matches(match, character)) return undefined;
    this.pos++;
    return character;
  }

  eatWhile(match) {
    const { pos } = this;
    while (this.eat(match));
    return this.pos > pos;
  }

  eatSpace = () => this.eatWhile(/[\s\u00a0]/);

  skipTo(character) {
    const found = this.string.indexOf(character, this.pos);
    if (found < 0) return undefined;
    this.pos = found;
    return true;
  }

  match(pattern, consume = true, caseInsensitive = false) {
    const rest = this.string.slice(this.pos);
    if (typeof pattern !== "string") {
      const found = rest.match(pattern);
      if (!found || found.index > 0) return null;
      if (consume !== false) this.pos += found[0].length;
      return found;
    }
    const fold = (text) => (caseInsensitive ? text.toLowerCase() : text);
    if (!fold(rest).startsWith(fold(pattern))) return null;
    if (consume !== false) this.pos += pattern.length;
    return true;
  }

  lookAhead = () => null;
  baseToken = () => null;
}

function matches(match, character) {
  if (typeof match === "string") return match === character;
  return match instanceof RegExp ? match.test(character) : match(character);
}

function width(text, end) {
  let columns = 0;
  for (let at = 0; at < end; at++) columns += text[at] === "\t" ? 4 - (columns % 4) : 1;
  return columns;
}
