// Controls below 44 px, but for links within a sentence, and inputs whose label is the target.
() => {
  const found = [];
  for (const element of document.querySelectorAll("button, select, summary, textarea, input:not([type=radio]):not([type=checkbox]), nav a, .card, .go, .pill label")) {
    if (!element.checkVisibility() || element.matches(".skip")) continue;
    const { width, height } = element.getBoundingClientRect();
    if (width < 43.9 || height < 43.9) found.push(`${Math.round(width)}x${Math.round(height)}: ${element.textContent.slice(0, 30) || element.name}`);
  }
  return found;
}
