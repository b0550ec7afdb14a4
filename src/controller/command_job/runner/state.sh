# Sixteen digits that stand for what is read, and what they are made of: the mounts, and the names in the home directory, unless that is
# emptied with everything else.
lg_digest() { lg_z=$(sha256sum); lg_z=${lg_z%% *}; echo "${lg_z%"${lg_z#????????????????}"}"; }
lg_mounts() { lg_digest </proc/self/mounts; }
lg_home() {
  case $HOME/ in
    / | // | @BELOW_EMPTIED@) echo - ;;
    *) find "$HOME" -xdev | LC_ALL=C sort | lg_digest ;;
  esac
}
