// Two panes that show one place: the radiograph, and the same under a saliency map.
// Everything happens in the browser, so a slider answers at once.
const START = { opacity: 45, level: 128, window: 255, zoom: 100, x: 0.5, y: 0.5 };

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".viewer");
  const view = root.view && root.key === data.key ? root.view : { ...START, label: data.label };
  root.view = view;
  root.key = data.key;
  dress(root, data, view, () => draw(root, data, view));
  draw(root, data, view);
}

function dress(root, data, view, changed) {
  const words = data.words;
  root.classList.toggle("plain", !data.maps || !Object.keys(data.maps).length);
  root.querySelector(".panes").setAttribute("aria-label", words.pictures);
  root.querySelectorAll(".grey").forEach((image) => { image.src = data.grey; image.alt = words.original; });
  root.querySelectorAll(".pane").forEach((pane, place) => {
    pane.style.setProperty("--ratio", data.ratio);
    pane.setAttribute("role", "group");
    pane.setAttribute("aria-label", `${place ? words.overlay : words.original}. ${words.keys}`);
    steer(pane, view, changed);
  });
  const names = { opacity: words.opacity, level: words.level, window: words.window, zoom: words.zoom };
  root.querySelectorAll("input[type=range]").forEach((input) => {
    input.closest("label").querySelector("span").textContent = names[input.name];
    input.oninput = () => { view[input.name] = Number(input.value); changed(); };
  });
  const reset = root.querySelector(".reset");
  reset.textContent = words.reset;
  reset.onclick = () => { Object.assign(view, START, { label: data.label }); changed(); };
  offer(root, data, view, changed);
}

function offer(root, data, view, changed) {
  root.querySelector("legend").textContent = data.words.label;
  const choices = root.querySelector(".choices");
  choices.replaceChildren(...Object.keys(data.maps || {}).map((name) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = `label-${data.key}`;
    input.value = name;
    input.onchange = () => { view.label = name; changed(); };
    label.append(input, document.createTextNode(name));
    return label;
  }));
}

function draw(root, data, view) {
  const { slope, intercept, id } = { ...levels(view), id: `levels-${data.key}` };
  const filter = root.querySelector("filter");
  filter.id = id;
  filter.querySelectorAll("feFuncR, feFuncG, feFuncB").forEach((one) => {
    one.setAttribute("slope", slope);
    one.setAttribute("intercept", intercept);
  });
  const changed = view.window !== START.window || view.level !== START.level;
  root.querySelectorAll(".grey").forEach((image) => { image.style.filter = changed ? `url(#${id})` : ""; });
  const over = root.querySelector(".over");
  const map = (data.maps || {})[view.label];
  if (map && over.src !== map) over.src = map;
  over.alt = data.words.map.replace("{label}", view.label || "");
  over.style.opacity = view.opacity / 100;
  const scale = view.zoom / 100;
  const [x, y] = [view.x, view.y].map((at) => (scale > 1 ? -Math.min(Math.max(at * scale - 0.5, 0), scale - 1) : 0));
  root.querySelectorAll(".stack").forEach((stack) => {
    stack.style.transform = `translate(${100 * x}%, ${100 * y}%) scale(${scale})`;
    stack.parentElement.classList.toggle("near", scale > 1);
  });
  const shown = { opacity: `${view.opacity} %`, level: view.level, window: view.window, zoom: `${view.zoom} %` };
  root.querySelectorAll("input[type=range]").forEach((input) => {
    input.value = view[input.name];
    input.setAttribute("aria-valuetext", String(shown[input.name]));
    input.closest("label").querySelector("b").textContent = shown[input.name];
  });
  root.querySelectorAll("input[type=radio]").forEach((input) => { input.checked = input.value === view.label; });
  const captions = root.querySelectorAll("figcaption");
  captions[0].textContent = data.words.original;
  captions[1].textContent = data.words.map.replace("{label}", view.label || "");
}

// Linear window, DICOM PS3.3 C.11.2.1.3.2 in its exact form, on grey levels 0-255.
function levels({ window, level }) {
  const slope = 255 / window;
  return { slope, intercept: 0.5 - level / window };
}

function steer(pane, view, changed) {
  const move = (dx, dy) => {
    const scale = view.zoom / 100;
    const least = 0.5 / scale;
    view.x = Math.min(Math.max(view.x + dx / scale, least), 1 - least);
    view.y = Math.min(Math.max(view.y + dy / scale, least), 1 - least);
    changed();
  };
  pane.onkeydown = (event) => {
    const steps = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] };
    if (event.key === "+" || event.key === "=") view.zoom = Math.min(600, view.zoom + 50);
    else if (event.key === "-") view.zoom = Math.max(100, view.zoom - 50);
    else if (!(event.key in steps) || view.zoom === 100) return;
    event.preventDefault();
    event.stopPropagation();
    move(...(steps[event.key] || [0, 0]));
  };
  pane.onwheel = (event) => {
    if (!event.ctrlKey && !event.altKey) return; // the page scrolls otherwise
    event.preventDefault();
    view.zoom = Math.min(600, Math.max(100, view.zoom - Math.sign(event.deltaY) * 20));
    move(0, 0);
  };
  pane.ondblclick = () => { view.zoom = view.zoom > 100 ? 100 : 200; move(0, 0); };
  pane.onpointerdown = (event) => {
    if (view.zoom === 100) return;
    pane.setPointerCapture(event.pointerId);
    let [x, y] = [event.clientX, event.clientY];
    pane.onpointermove = (next) => {
      move((x - next.clientX) / pane.clientWidth, (y - next.clientY) / pane.clientHeight);
      [x, y] = [next.clientX, next.clientY];
    };
    pane.onpointerup = pane.onpointercancel = () => { pane.onpointermove = null; };
  };
}
