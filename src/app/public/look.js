// The look that was chosen, before the first paint; the rest is in look.ts. A file, since the policy allows no inline script.
try {
  const choice = localStorage.getItem('vitrine-look');
  if (/^(dark|light)$/.test(choice)) document.querySelector('meta[name=color-scheme]').content = choice;
} catch {}
