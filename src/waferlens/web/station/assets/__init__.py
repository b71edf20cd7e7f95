"""What pages load: styles, scripts, signs. Nothing comes from elsewhere."""
