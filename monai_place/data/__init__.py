"""What a study is and where it comes from: datalists, radiographs, reports, tokens, the phantom."""
