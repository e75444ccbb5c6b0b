'use strict';
{
  const at = id => document.getElementById(id);
  const SVG = 'http://www.w3.org/2000/svg';
  const NEAR = '1200px';  // cards within this distance of the window have their picture

  const films = [...document.querySelectorAll('script.film')].map((block, place) => {
    const film = JSON.parse(block.textContent);
    block.remove();
    film.place = place;
    film.pixels = film.width * film.height;
    film.words = [film.name, film.source, ...film.flags, ...film.notes].join('\n').toLowerCase();
    return film;
  });
  let shown = [];
  let open = null;  // place in `shown` of the film in the large view

  const element = (name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };

  const rectangle = mark => {
    const [x0, y0, x1, y1] = mark.box;
    const made = document.createElementNS(SVG, 'rect');
    const place = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) };
    for (const [key, value] of Object.entries(place)) made.setAttribute(key, value);
    if (mark.detected) made.setAttribute('class', 'detected');
    return made;
  };

  // the text of a label is below it, that of a detection above it, both inside the film
  const figure = (mark, film) => {
    const [x0, y0, x1, y1] = mark.box;
    const made = element('span', mark.text, 'figure');
    const rightwards = x0 < 0.7 * film.width;
    made.style.left = `${100 * Math.min(1, Math.max(0, rightwards ? x0 : x1) / film.width)}%`;
    made.style.top = `${100 * Math.min(1, Math.max(0, mark.detected ? y0 : y1) / film.height)}%`;
    const above = mark.detected ? y0 > 0.06 * film.height : y1 > 0.94 * film.height;
    made.classList.toggle('above', above);
    made.classList.toggle('leftwards', !rightwards);
    return made;
  };

  const frame = film => {
    if (!film.jpeg) return element('span', "can't be read", 'unread');
    const made = element('div', undefined, 'frame');
    const picture = element('img');
    picture.alt = '';
    picture.decoding = 'async';
    picture.src = `data:image/jpeg;base64,${film.jpeg}`;
    const boxes = document.createElementNS(SVG, 'svg');
    boxes.setAttribute('viewBox', `0 0 ${film.width} ${film.height}`);
    boxes.append(...film.marks.map(rectangle));
    made.append(picture, boxes, ...film.marks.filter(mark => mark.text).map(mark => figure(mark, film)));
    return made;
  };

  const inSquare = (made, film) => {
    made.style.width = `${100 * Math.min(1, film.width / film.height)}%`;
    made.style.height = `${100 * Math.min(1, film.height / film.width)}%`;
    return made;
  };

  const number = value => value === null ? '' : value.toFixed(2);
  const summary = film => [
    film.iou === null ? '' : `IoU ${number(film.iou)}`,
    film.score === null ? '' : `score ${number(film.score)}`,
    film.source,
    ...film.flags,
  ].filter(Boolean).join(' \u00b7 ');

  // a card has its picture only near the window, so that thousands of films need little memory
  const watcher = new IntersectionObserver(seen => {
    for (const { target, isIntersecting } of seen) {
      const stage = target.firstChild;
      if (!isIntersecting) stage.replaceChildren();
      else if (!stage.firstChild) stage.append(inSquare(frame(target.film), target.film));
    }
  }, { rootMargin: NEAR });

  for (const film of films) {
    film.card = element('button', undefined, 'card');
    film.card.type = 'button';
    film.card.film = film;
    film.card.append(
      element('div', undefined, 'stage'),
      element('span', film.name.split('/').pop(), 'name'),
      element('span', summary(film), 'more'));
    film.card.title = film.name;
  }

  const wanted = () => {
    const words = at('text').value.trim().toLowerCase();
    const source = at('source').value, flag = at('flag').value;
    const low = Number(at('low').value), high = at('high').value === '' ? 1 : Number(at('high').value);
    const everything = low <= 0 && high >= 1;
    return film => (!words || film.words.includes(words))
      && (!source || film.source === source.slice(1))
      && (!flag || (flag === ' ' ? !film.flags.length : film.flags.includes(flag.slice(1))))
      && (everything || (film.iou !== null && film.iou >= low && film.iou <= high));
  };

  const compare = (a, b) => typeof a === 'string' ? a.localeCompare(b, 'en', { numeric: true }) : a - b;
  const order = () => {
    const key = at('sort').value;
    const sign = at('turn').getAttribute('aria-pressed') === 'true' ? -1 : 1;
    return (a, b) => {
      if (at('group').checked && a.source !== b.source) return compare(a.source, b.source);
      if (a[key] === null || b[key] === null) return (a[key] === null) - (b[key] === null) || a.place - b.place;
      return sign * compare(a[key], b[key]) || a.place - b.place;
    };
  };

  const update = () => {
    shown = films.filter(wanted()).sort(order());
    const children = [];
    shown.forEach((film, place) => {
      if (at('group').checked && (!place || shown[place - 1].source !== film.source)) {
        children.push(element('h2', film.source || 'no data set'));
      }
      children.push(film.card);
    });
    watcher.disconnect();
    at('films').replaceChildren(...children);
    for (const film of shown) watcher.observe(film.card);
    const all = `${films.length} film${films.length === 1 ? '' : 's'}`;
    at('count').textContent = shown.length === films.length ? all : `${shown.length} of ${all}`;
  };

  const view = at('view');
  const fill = (list, texts) => list.replaceChildren(...texts.map(text => element('li', text)));
  const fit = () => {  // as large as the window allows
    const stage = view.querySelector('.stage'), made = stage.firstChild, film = shown[open];
    const scale = Math.min(stage.clientWidth / film.width, stage.clientHeight / film.height);
    made.style.width = `${scale * film.width}px`;
    made.style.height = `${scale * film.height}px`;
  };
  const show = index => {
    if (!shown[index]) return;
    open = index;
    const film = shown[index];
    view.querySelector('.stage').replaceChildren(frame(film));
    view.querySelector('h2').textContent = film.name;
    const size = film.jpeg ? `${film.width} x ${film.height} px` : '';
    const ratio = film.roi ? `ROIs ${(100 * film.roi).toFixed(1)}% of the long side` : '';
    view.querySelector('.facts').textContent =
      [`${index + 1} of ${shown.length}`, summary(film), size, ratio].filter(Boolean).join(' \u00b7 ');
    fill(view.querySelector('.marks'), film.marks.map(mark => [
      mark.detected ? 'detection' : 'label', mark.text, mark.box.map(value => value.toFixed(1)).join(', '),
    ].filter(Boolean).join(' \u00b7 ')));
    fill(view.querySelector('.notes'), film.notes);
    if (!view.open) view.showModal();
    if (film.jpeg) fit();
  };
  view.addEventListener('close', () => {
    if (shown[open]) shown[open].card.focus();
    open = null;
  });
  view.addEventListener('click', event => { if (!event.target.closest('figcaption')) view.close(); });
  at('films').addEventListener('click', event => {
    const card = event.target.closest('.card');
    if (card) show(shown.indexOf(card.film));
  });
  addEventListener('resize', () => { if (open !== null && shown[open].jpeg) fit(); });

  // in the grid the arrow keys move from card to card
  const beside = (card, key) => {
    const index = shown.indexOf(card.film);
    if (key === 'ArrowLeft') return shown[index - 1];
    if (key === 'ArrowRight') return shown[index + 1];
    const down = key === 'ArrowDown', { top, left } = card.getBoundingClientRect();
    const others = down ? shown.slice(index + 1) : shown.slice(0, index).reverse();
    return others.find(film => {
      const there = film.card.getBoundingClientRect();
      return (down ? there.top > top + 1 : there.top < top - 1) && (down ? there.left >= left - 1 : there.left <= left + 1);
    });
  };
  const switches = { b: 'boxes', f: 'figures' };
  addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches('input:not([type=checkbox]), select');
    if (view.open) {
      const step = { ArrowLeft: open - 1, ArrowRight: open + 1, Home: 0, End: shown.length - 1 }[event.key];
      if (step !== undefined) { event.preventDefault(); show(step); }
    } else if (event.target.matches('.card') && event.key.startsWith('Arrow')) {
      event.preventDefault();
      const film = beside(event.target, event.key);
      if (film) film.card.focus();
    } else if (event.key === '/' && !typing) {
      event.preventDefault();
      at('text').focus();
    }
    if (!typing && switches[event.key]) at(switches[event.key]).click();
  });

  const choices = (id, values) => {
    const unique = [...new Set(values)].sort(compare);
    // the leading = distinguishes these values from those of the fixed options
    at(id).append(...unique.map(value => {
      const made = element('option', value || 'no data set');
      made.value = `=${value}`;
      return made;
    }));
    return unique.length;
  };
  const many = choices('source', films.map(film => film.source)) > 1;
  at('source-choice').hidden = at('group-choice').hidden = !many;
  at('flag-choice').hidden = !choices('flag', films.flatMap(film => film.flags));
  at('iou-choice').hidden = films.every(film => film.iou === null);
  for (const option of [...at('sort').options]) {
    if (films.every(film => film[option.value] === null)) option.remove();
  }
  const marks = films.flatMap(film => film.marks);
  document.body.classList.toggle('no-labels', marks.every(mark => mark.detected));
  document.body.classList.toggle('no-detections', marks.every(mark => !mark.detected));

  const looks = () => {
    document.body.classList.toggle('without-boxes', !at('boxes').checked);
    document.body.classList.toggle('without-figures', !at('figures').checked);
    document.documentElement.style.setProperty('--side', `${at('side').value}px`);
  };
  at('controls').addEventListener('submit', event => event.preventDefault());
  at('controls').addEventListener('input', event => {
    if (['boxes', 'figures', 'side'].includes(event.target.id)) looks();
    else update();
  });
  at('turn').addEventListener('click', () => {
    at('turn').setAttribute('aria-pressed', String(at('turn').getAttribute('aria-pressed') !== 'true'));
    update();
  });
  looks();
  update();
}
